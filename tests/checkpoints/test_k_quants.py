"""K-quants: written by llama.cpp, read back as what was asked for; where it is not installed, the remedy is said."""

import importlib.util
from pathlib import Path

import pytest
import torch
from gguf_models import make_model
from references import our_logits

import burnish
from burnish.checkpoints.formats import write_formats
from burnish.checkpoints.gguf_file import open_gguf
from burnish.checkpoints.k_quants import K_QUANTS, quantize_file
from burnish.errors import BurnishError
from burnish.text.tokenizer import Tokenizer

IDS = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200, 7, 8, 9, 10, 44, 71]


def test_without_llama_cpp_it_is_said_what_to_install_and_nothing_is_written(
    tiny_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    decoder = make_model("llama", tiny_tokenizer.vocab_size)
    with pytest.raises(BurnishError, match=r"Q4_K_M is written by llama\.cpp.s own code: pip install llama-cpp-python"):
        write_formats(decoder, tiny_tokenizer, tmp_path / "out", name="m", gguf=["F16", "Q4_K_M"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("quantization", K_QUANTS)
def test_a_file_has_the_blocks_that_were_asked_for_and_is_near_the_model(
    quantization: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it must be compiled")
    sizes = {"d_model": 256, "n_heads": 8, "n_kv_heads": 4, "d_ff": 512, "n_layers": 2}
    decoder = make_model("llama", tiny_tokenizer.vocab_size, **sizes)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.ndim == 2:
                parameter.div_(2.0)
    (file,) = write_formats(decoder, tiny_tokenizer, tmp_path, name="m", gguf=[quantization])
    assert [path.name for path in tmp_path.iterdir()] == [f"m-{quantization}.gguf"]
    kinds = {tensor.kind.name for tensor in open_gguf(file).tensors.values()}
    assert quantization.removesuffix("_M") in kinds
    read, _ = burnish.load(file, compute_dtype=torch.float32, device="cpu")
    difference = (our_logits(read, IDS) - our_logits(decoder, IDS)).abs().mean()
    assert 0 < float(difference) < float(our_logits(decoder, IDS).abs().mean())


@pytest.mark.slow
def test_what_llama_cpp_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: it must be compiled")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(BurnishError, match=r"broken\.gguf: llama\.cpp could not write it as Q4_K_M"):
        quantize_file(tmp_path / "broken.gguf", tmp_path / "m.gguf", "Q4_K_M")
    assert not (tmp_path / "m.gguf").exists()
