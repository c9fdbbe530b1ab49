"""What is kept to be read again later: written with the SHA-256 of its content, and checked by it at every reading.

A saved training, a rollout or a cached answer that has changed on the disk would otherwise be gone on from, and nobody
would know. Each also says whom it belongs to, so that a file that took another's name is no answer either.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from burnish.errors import BurnishError
from burnish.files import atomic_file, atomic_write_text, open_regular, regular_file

if TYPE_CHECKING:
    from torch import Tensor

_HASHING_THREADS = 4
_SUM = "sha256"
_FACTS = "facts"


class DamagedError(BurnishError):
    """A kept file that is not what was written."""


def write_json(file: Path, value: Any, *, owner: str = "") -> None:
    """Keep a JSON value. owner: what it belongs to, such as the question that it answers."""
    document = {_SUM: _json_sum(value, owner), "value": value}
    # In ASCII, since what a model wrote may hold halves of characters, which UTF-8 has no bytes for.
    atomic_write_text(file, json.dumps(document) + "\n")


def read_json(file: Path, *, owner: str = "") -> Any:
    """The value that `write_json` kept. Raises DamagedError where it is another, BurnishError where there is none."""
    with open_regular(file) as opened:
        data = opened.read()
    try:
        document = json.loads(data)
        value = document["value"]
        if document[_SUM] != _json_sum(value, owner):
            raise DamagedError(_changed(file))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(_unreadable(file, error)) from error
    return value


class KeptTensors:
    """An open file of tensors whose content has been checked."""

    def __init__(self, opened: Any, facts: dict[str, Any]) -> None:
        self._opened = opened
        self.facts = facts

    @property
    def names(self) -> list[str]:
        return list(self._opened.keys())

    def __getitem__(self, name: str) -> "Tensor":
        tensor: Tensor = self._opened.get_tensor(name)
        return tensor


def write_tensors(file: Path, tensors: "Mapping[str, Tensor]", facts: Mapping[str, Any]) -> None:
    """Keep tensors, and JSON facts about them, as safetensors."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts))
    metadata = {_FACTS: text, _SUM: _tensor_sum(text, tensors)}
    with atomic_file(file) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_facts(file: Path) -> dict[str, Any]:
    """The facts that `write_tensors` kept, not checked yet. Raises DamagedError where they cannot be read."""
    with _opened(file) as (_, metadata):
        return _facts(metadata)


@contextmanager
def open_tensors(file: Path) -> Iterator[KeptTensors]:
    """What `write_tensors` kept. Raises DamagedError where it is another, BurnishError where there is no file.

    An exception of the block that comes of tensors which are not there, or have another shape, is a DamagedError too.
    """
    with _opened(file) as (opened, metadata):
        kept = KeptTensors(opened, _facts(metadata))
        if metadata.get(_SUM) != _tensor_sum(metadata[_FACTS], {name: kept[name] for name in kept.names}):
            raise DamagedError(_changed(file))
        yield kept


@contextmanager
def _opened(file: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    try:
        with safe_open(regular_file(file), framework="pt", device="cpu") as opened:
            yield opened, opened.metadata() or {}
    except (SafetensorError, ValueError, KeyError, TypeError, IndexError, RuntimeError, OSError) as error:
        raise DamagedError(_unreadable(file, error)) from error


def _facts(metadata: Mapping[str, str]) -> dict[str, Any]:
    facts = json.loads(metadata[_FACTS])
    if not isinstance(facts, dict):
        raise TypeError(f"its facts are {type(facts).__name__}")
    return facts


def _json_sum(value: Any, owner: str) -> str:
    return hashlib.sha256(json.dumps([owner, value]).encode()).hexdigest()


def _tensor_sum(facts: str, tensors: "Mapping[str, Tensor]") -> str:
    """SHA-256 of the facts and of every tensor's name, type, shape and bytes."""
    names = sorted(tensors)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        sums = list(pool.map(_bytes_sum, [tensors[name] for name in names]))
    described = [
        [name, str(tensors[name].dtype), list(tensors[name].shape), value]
        for name, value in zip(names, sums, strict=True)
    ]
    return hashlib.sha256(json.dumps([facts, described]).encode()).hexdigest()


def _bytes_sum(tensor: "Tensor") -> str:
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()


def _changed(file: Path) -> str:
    return f"{file}: its content is not what was written (its SHA-256 differs)"


def _unreadable(file: Path, error: BaseException) -> str:
    return f"{file}: cannot be read ({error or type(error).__name__})"
