"""`python -m burnish`: the command line, where the `burnish` script is not on the path."""

from burnish.cli import main

if __name__ == "__main__":
    main()
