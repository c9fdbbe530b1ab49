"""Process reward models: the same logits as transformers' ...ForTokenClassification, both ways, in both its modes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import CASES
from safetensors.torch import load_file, save_file
from torch import Tensor

import burnish
from burnish.errors import CheckpointError
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.nn.process_reward import ProcessRewardModel
from burnish.nn.scalar import ScalarModel
from burnish.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

SEQUENCE = [1, 17, 30, 4, 4, 9, 100, 101, 55, 2, 63, 200, 5, 6, 2]
WITHOUT = ("olmo2", "gemma3")


def make_classifier(case: str) -> Any:
    """A token classifier of two labels in transformers, random throughout; None where it has no such class."""
    name, settings = CASES[case]
    config = getattr(transformers, name)(**{**settings, "num_labels": 2})
    try:
        model = transformers.AutoModelForTokenClassification.from_config(config, attn_implementation="eager")
    except ValueError:
        return None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            around = parameter.round() if parameter.ndim == 1 else 0.0
            parameter.copy_(around + torch.randn(parameter.shape, generator=generator) * 0.25)
    return model.eval()


@torch.no_grad()
def our_logits(model: ProcessRewardModel) -> Tensor:
    tokens = torch.tensor(SEQUENCE)
    return model.eval()(Forest(tokens, (len(tokens),), (-1,)), torch.arange(len(tokens)))


@torch.no_grad()
def their_logits(model: Any) -> Tensor:
    logits: Tensor = model(torch.tensor([SEQUENCE])).logits[0]
    return logits


def load(folder: Path) -> ProcessRewardModel:
    return burnish.load_process_reward_model(folder, compute_dtype=torch.float32, device="cpu")[0]


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("case", CASES)
def test_every_family_gives_the_logits_of_transformers(case: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    theirs = make_classifier(case)
    if theirs is None:
        assert case.startswith(WITHOUT)
        return
    theirs.save_pretrained(tmp_path / "theirs")
    tiny_tokenizer.save(tmp_path / "theirs")
    model = load(tmp_path / "theirs")
    assert model.step_separator == "\n"
    logits = our_logits(model)
    assert logits.std() > 0.01
    assert_equal(logits, their_logits(theirs))

    model.step_separator = " ки\n"
    burnish.save_process_reward_model(model, tiny_tokenizer, tmp_path / "ours")
    again, info = transformers.AutoModelForTokenClassification.from_pretrained(
        tmp_path / "ours", dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert type(again) is type(theirs)
    assert not any(info.values()), info
    assert (again.config.id2label, again.config.step_separator) == ({0: "wrong", 1: "right"}, " ки\n")
    assert_equal(our_logits(model), their_logits(again.eval()))
    reloaded = load(tmp_path / "ours")
    assert reloaded.step_separator == " ки\n"
    assert_equal(our_logits(reloaded), logits)


def test_training_mode_drops_nothing_before_the_head(
    make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = ProcessRewardModel(make_decoder(vocab_size=300), seed=4)
    burnish.save_process_reward_model(model, tiny_tokenizer, tmp_path / "model", card="# Steps\n")
    assert (tmp_path / "model/README.md").read_text() == "# Steps\n"
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "model", dtype=torch.float32)
    assert_equal(our_logits(model), their_logits(theirs.train()))


def test_models_of_the_wrong_kind(
    make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    burnish.save(make_decoder(), tiny_tokenizer, tmp_path / "policy")
    burnish.save_reward_model(ScalarModel(make_decoder()), tiny_tokenizer, tmp_path / "rewards")
    burnish.save_process_reward_model(ProcessRewardModel(make_decoder()), tiny_tokenizer, tmp_path / "steps")
    for folder, called in (("policy", "language model"), ("rewards", "reward model")):
        with pytest.raises(CheckpointError, match=f"it is a {called}: a process reward model is needed here"):
            load(tmp_path / folder)
    reads = r"it is a process reward model: a .* is needed here \(burnish\.load_process_reward_model reads it\)"
    with pytest.raises(CheckpointError, match=reads):
        burnish.load(tmp_path / "steps")
    with pytest.raises(CheckpointError, match=reads):
        burnish.load_reward_model(tmp_path / "steps")
    with pytest.raises(CheckpointError, match="is not a folder"):
        load(tmp_path / "model.gguf")
    lacking = ProcessRewardModel(make_decoder(model_type="olmo2", norm_placement="reordered", qk_norm="projection"))
    with pytest.raises(CheckpointError, match="transformers has no class of olmo2 models for token classification"):
        burnish.save_process_reward_model(lacking, tiny_tokenizer, tmp_path / "steps")


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        ({"score.bias": None}, {}, r"tensor score\.bias, of the head of the process reward model, is missing"),
        ({"score.weight": torch.zeros(3, 32)}, {}, r"score\.weight has shape \[3, 32\]"),
        ({}, {"num_labels": 3}, "the model has 3 labels; a process reward model has two"),
        ({}, {"step_separator": 7}, "step_separator is 7; expected the text that steps end with"),
    ],
)
def test_heads_that_are_not_supported(
    tensors: dict[str, Tensor | None],
    settings: dict[str, Any],
    message: str,
    make_decoder: Callable[..., Decoder],
    tiny_tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:
    burnish.save_process_reward_model(ProcessRewardModel(make_decoder()), tiny_tokenizer, tmp_path)
    file, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    kept = {name: tensor for name, tensor in {**load_file(file), **tensors}.items() if tensor is not None}
    save_file(kept, file)
    config.write_text(json.dumps({**json.loads(config.read_text()), **settings}))
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)
