"""Whether what a server needs is installed."""

from importlib.util import find_spec

from burnish.errors import BurnishError

NEEDED = ("starlette", "uvicorn", "prometheus_client")


def require() -> None:
    """Raise BurnishError where a package is missing."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise BurnishError(f"serving needs {', '.join(missing)}: pip install 'burnish[serve]'")
