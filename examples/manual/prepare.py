"""Prepare the manual example: pages of Python's own manual, as HTML.

    python prepare.py --out DIR [--html FOLDER] [--pages 'library/*'] [--kilobytes 20 100] [--most 60]

The manual is Debian's package python3.11-doc: the installed one, that in `--html`, or where there is neither it is
fetched by apt-get, without installing it. The same pages are taken every time: those whose names have the smallest
hashes.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "python3.11-doc"
INSTALLED = Path("/usr/share/doc/python3.11-doc/html")
LICENCE = "PSF-2.0"


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        html = arguments.html or (INSTALLED if INSTALLED.is_dir() else _fetched(Path(folder)))
        pages = sorted(page for pattern in arguments.pages for page in html.glob(pattern) if page.suffix == ".html")
        if not pages:
            sys.exit(f"{html}: no pages like {', '.join(arguments.pages)}")
        if arguments.kilobytes is not None:
            least, most = (1000 * size for size in arguments.kilobytes)
            pages = [page for page in pages if least <= page.stat().st_size <= most]
        if arguments.most is not None:
            drawn = sorted(pages, key=lambda page: hashlib.sha256(str(page.relative_to(html)).encode()).digest())
            pages = sorted(drawn[: arguments.most])
        for page in pages:
            target = arguments.out / "pages" / page.relative_to(html)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(page, target)
    size = sum(page.stat().st_size for page in (arguments.out / "pages").rglob("*.html"))
    print(f"{len(pages)} pages of {PACKAGE}, {size / 2**20:.1f} MiB -> {arguments.out}")


def _fetched(folder: Path) -> Path:
    """The manual from Debian's archive, unpacked. SystemExit where that does not work, with what to do."""
    advice = f"install it (apt-get install {PACKAGE}), or give its folder with --html"
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        sys.exit(f"{INSTALLED}: the manual is not here; {advice}")
    print(f"fetching {PACKAGE} (13 MB)", flush=True)
    fetched = subprocess.run(
        ["apt-get", "download", PACKAGE], cwd=folder, capture_output=True, text=True, check=False, timeout=600
    )
    files = sorted(folder.glob("*.deb"))
    if fetched.returncode or not files:
        sys.exit(f"apt-get download {PACKAGE} failed: {fetched.stderr.strip()}; {advice}")
    subprocess.run(["dpkg", "-x", str(files[0]), str(folder / "unpacked")], check=True)
    return next((folder / "unpacked").glob("usr/share/doc/*/html"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--html", type=Path, help="folder of the manual's pages")
    parser.add_argument("--pages", nargs="+", default=["library/*"], help="which of them (default library/*)")
    parser.add_argument(
        "--kilobytes", nargs=2, type=float, metavar=("LEAST", "MOST"), help="only those of this size (default any)"
    )
    parser.add_argument("--most", type=int, help="at most so many (default all)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
