"""What runs within a cell of the sandbox, and nowhere else.

These modules are sent to a fresh interpreter as text, in the order of `MODULES`: a cell sees no file of Burnish's. They
use the standard library alone, and each other.
"""

MODULES = ("values", "channel", "seccomp", "landlock", "confinement", "namespaces", "program", "tests", "zygote")
"""In the order in which they import each other."""
