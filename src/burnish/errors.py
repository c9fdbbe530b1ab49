"""Errors that a user can mend. The command line prints them without a traceback.

Each message names the file, line or key, the value at fault and what to do instead.
"""


class BurnishError(Exception):
    """Base of every error caused by input, configuration or the machine rather than by a bug."""


class RecipeError(BurnishError):
    """A recipe has a wrong key or value; the message names the line and the nearest valid key."""


class DataError(BurnishError):
    """A data file or row cannot be used; the message names the file, the line and the reason."""


class CheckpointError(BurnishError):
    """A model folder, adapter or GGUF file cannot be read or written."""
