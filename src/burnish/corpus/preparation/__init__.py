"""Preparation of documents: sources, steps over columns of documents, and the pipeline that runs them.

All of it stands on Polars and pyarrow, extras of Burnish's, so that nothing else imports it but inside a function.
"""

from burnish.errors import BurnishError

try:
    import polars as _polars  # noqa: F401
    import pyarrow as _pyarrow  # noqa: F401
except ImportError as error:
    raise BurnishError(
        f"preparing documents needs {error.name}; install it with `pip install 'burnish[data]'`"
    ) from None
