"""The composed questions of the flights example, and those that people typed: what is held out, and that all can be answered."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"

duckdb = pytest.importorskip("duckdb")
