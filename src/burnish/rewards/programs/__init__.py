"""Python that a model wrote: run in a sandbox, and judged by unit tests that it can neither see nor touch.

`sandbox.py` is where to begin; `isolation.py` says what a cell is made of, `inside/` is what runs within one.
"""
