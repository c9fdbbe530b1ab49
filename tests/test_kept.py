"""What is kept is what was written, to the last bit, or it is said which file is not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from burnish.errors import BurnishError
from burnish.files import atomic_write_bytes
from burnish.kept import DamagedError, open_tensors, read_facts, read_json, write_json, write_tensors

VALUE = {"answer": "zwölf", "numbers": [1, 0.1, None, True], "empty": {}}
TENSORS = {
    "matrix": torch.arange(12.0).view(3, 4).t(),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "scalar": torch.tensor(3),
    "empty": torch.empty(0),
    "flags": torch.tensor([True, False]),
}


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "new" / "value.json"
    write_json(file, VALUE, owner="me")
    assert read_json(file, owner="me") == VALUE
    with pytest.raises(DamagedError, match=r"value\.json: its content is not what was written"):
        read_json(file, owner="somebody else")
    with pytest.raises(BurnishError, match=r"cannot read .*missing"):
        read_json(tmp_path / "missing")


def test_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "tensors.safetensors"
    write_tensors(file, TENSORS, {"step": 3})
    assert read_facts(file) == {"step": 3}
    with open_tensors(file) as kept:
        assert kept.facts == {"step": 3}
        assert set(kept.names) == set(TENSORS)
        for name, tensor in TENSORS.items():
            assert kept[name].equal(tensor)
            assert kept[name].dtype == tensor.dtype


def test_every_flipped_bit_of_a_json_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "value.json"
    write_json(file, VALUE)
    data = file.read_bytes()
    for place in range(len(data) - 1):
        for bit in (0, 3, 6):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            atomic_write_bytes(file, bytes(changed))
            assert noticed_or_same(lambda: read_json(file) == VALUE, file), (place, bit)


def test_every_flipped_bit_of_a_tensor_file_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "tensors.safetensors"
    write_tensors(file, TENSORS, {"step": 3})
    data = file.read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << (place % 8)
        file.write_bytes(bytes(changed))
        assert noticed_or_same(lambda: same_tensors(file), file), place


def noticed_or_same(read: Callable[[], bool], file: Path) -> bool:
    """Whether a reading says which file is damaged, or gives what was written: not every byte says something."""
    try:
        return read()
    except DamagedError as error:
        return str(file) in str(error)


def same_tensors(file: Path) -> bool:
    with open_tensors(file) as kept:
        return kept.facts == {"step": 3} and all(kept[name].equal(tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"value": 1}',
        json.dumps({"sha256": 3, "value": 1}).encode(),
    ],
)
def test_what_nobody_has_kept_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(DamagedError, match="file: "):
        read_json(file)
    with pytest.raises(DamagedError, match="file: "), open_tensors(file):
        pass


def test_a_block_that_misses_a_tensor_is_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write_tensors(file, {"a": torch.ones(2)}, {})
    with pytest.raises(DamagedError, match="file: cannot be read"), open_tensors(file) as kept:
        kept["b"]
    with pytest.raises(DamagedError, match="file: cannot be read"), open_tensors(file) as kept:
        torch.ones(3).copy_(kept["a"])
