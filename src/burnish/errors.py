"""Errors that a user can mend. The command line prints them without a traceback.

Each message names the file, line or key, the value at fault and what to do instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class BurnishError(Exception):
    """Base of every error caused by input, configuration or the machine rather than by a bug."""


class RecipeError(BurnishError):
    """A recipe has a wrong key or value; the message names the line and the nearest valid key."""


class DataError(BurnishError):
    """A data file or row cannot be used; the message names the file, the line and the reason."""


class CheckpointError(BurnishError):
    """A model folder, adapter or GGUF file cannot be read or written."""


def is_panic(error: BaseException) -> bool:
    """Whether a library in Rust has panicked: pyo3 raises that outside of Exception, as a type that nothing exports."""
    return any(kind.__module__ == "pyo3_runtime" for kind in type(error).__mro__)


@contextmanager
def panics_told(kind: type[BurnishError], what: str) -> Iterator[None]:
    """Raise a panic of a Rust library in the block as an error of a `kind`, its message `what` and the panic's."""
    try:
        yield
    except BaseException as error:
        if is_panic(error):
            raise kind(f"{what}: the library that reads it failed: {error}") from None
        raise
