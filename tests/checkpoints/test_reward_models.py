"""Reward models: the same rewards as transformers' ...ForSequenceClassification, batched with padding, both ways."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import CASES
from safetensors.torch import load_file, save_file
from torch import Tensor

import burnish
from burnish.checkpoints.reward_models import padding_id
from burnish.errors import CheckpointError
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.scalar import ScalarModel
from burnish.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

SHARED = [1, 17, 30, 4, 4, 9, 100, 101]
SEQUENCES = [
    [*SHARED, 55, 2, 63, 200, 5, 6, 2],
    [*SHARED, 250, 251, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 2],
    [299, 3, 77],
]


@torch.no_grad()
def our_rewards(model: ScalarModel) -> Tensor:
    """Rewards of `SEQUENCES` in one forest, where two share their beginning."""
    forest, ends = Forest.from_sequences(SEQUENCES, min_shared=4)
    return model.eval()(forest, torch.stack([forest.path(end)[-1] for end in ends]))


@torch.no_grad()
def their_rewards(model: Any, pad: int, *, left: bool = False) -> Tensor:
    """The same as one padded batch in transformers."""
    length = max(map(len, SEQUENCES))
    rows = [(s, [pad] * (length - len(s))) for s in SEQUENCES]
    ids = torch.tensor([padding + s if left else s + padding for s, padding in rows])
    mask = torch.tensor([[0] * len(p) + [1] * len(s) if left else [1] * len(s) + [0] * len(p) for s, p in rows])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    # GPT-BigCode and others count the positions of padding too, unless they are told.
    rewards: Tensor = model.eval()(ids, attention_mask=mask, position_ids=positions).logits.squeeze(-1)
    return rewards


def make_classifier(case: str, **changes: Any) -> Any:
    """A classifier of one label in transformers, random throughout."""
    name, settings = CASES[case]
    config = getattr(transformers, name)(**{**settings, "num_labels": 1, **changes})
    model = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            around = parameter.round() if parameter.ndim == 1 else 0.0
            parameter.copy_(around + torch.randn(parameter.shape, generator=generator) * 0.25)
    return model.eval()


def load(folder: Path) -> ScalarModel:
    return burnish.load_reward_model(folder, compute_dtype=torch.float32, device="cpu")[0]


def assert_equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("case", CASES)
def test_every_family_gives_the_rewards_of_transformers(case: str, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    theirs = make_classifier(case)
    theirs.save_pretrained(tmp_path / "theirs")
    tiny_tokenizer.save(tmp_path / "theirs")
    model = load(tmp_path / "theirs")
    rewards = our_rewards(model)
    assert rewards.std() > 0.01
    assert_equal(rewards, their_rewards(theirs, 0))

    burnish.save_reward_model(model, tiny_tokenizer, tmp_path / "ours")
    again, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "ours", dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert type(again) is type(theirs)
    assert not any(info.values()), info
    assert again.config.num_labels == 1
    assert_equal(rewards, their_rewards(again, again.config.pad_token_id))
    assert_equal(rewards, their_rewards(again, again.config.pad_token_id, left=True))
    assert_equal(our_rewards(load(tmp_path / "ours")), rewards)


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_saved_is_loaded(
    tied: bool, make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = ScalarModel(make_decoder(vocab_size=300, tie_embeddings=tied), seed=4)
    burnish.save_reward_model(model, tiny_tokenizer, tmp_path / "model", card="# Rewards\n")
    assert (tmp_path / "model/README.md").read_text() == "# Rewards\n"
    again, tokenizer = burnish.load_reward_model(tmp_path / "model", compute_dtype="float32", device="cpu")
    assert torch.equal(again.score, model.score)
    assert again.decoder.head is None
    assert torch.equal(our_rewards(again), our_rewards(model))
    assert (tokenizer.chat_template, tokenizer.stop_ids) == (tiny_tokenizer.chat_template, tiny_tokenizer.stop_ids)


def test_the_padding_token_never_ends_an_answer(
    make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """A tokenizer that pads with the token that ends a turn would have transformers read the token before it."""
    padded_with_the_end = replace(tiny_tokenizer, pad_id=2)
    model = ScalarModel(make_decoder(vocab_size=300))
    burnish.save_reward_model(model, padded_with_the_end, tmp_path / "model")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    pad = theirs.config.pad_token_id
    assert pad == their_tokenizer.pad_token_id == 1
    assert_equal(our_rewards(model), their_rewards(theirs, pad))
    theirs.config.pad_token_id = 2
    assert (our_rewards(model) - their_rewards(theirs, 2)).abs().max() > 0.01

    assert padding_id(replace(tiny_tokenizer, pad_id=None, bos_id=None)) == 0
    with pytest.raises(CheckpointError, match="add a padding token"):
        padding_id(replace(tiny_tokenizer, stop_ids=tiny_tokenizer.control_ids))


def test_models_of_the_wrong_kind(
    make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    burnish.save(make_decoder(), tiny_tokenizer, tmp_path / "policy")
    with pytest.raises(CheckpointError, match=r"config\.json: .*it is a language model: a reward model is needed here"):
        load(tmp_path / "policy")
    burnish.save_reward_model(ScalarModel(make_decoder()), tiny_tokenizer, tmp_path / "rewards")
    with pytest.raises(CheckpointError, match=r"config\.json: .*it is a reward model: a policy is needed here"):
        burnish.load(tmp_path / "rewards")
    with pytest.raises(CheckpointError, match="is not a folder"):
        load(tmp_path / "model.gguf")
    adapted = ScalarModel(make_decoder())
    add_lora(adapted.decoder, LoraConfig(rank=2), seed=0)
    with pytest.raises(CheckpointError, match="merge_lora"):
        burnish.save_reward_model(adapted, tiny_tokenizer, tmp_path / "rewards")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score.bias": torch.zeros(1)}, r"score\.bias is part of the head; only a linear head without a bias"),
        ({"score.weight": None}, r"tensor score\.weight, the head of the reward model, is missing"),
        ({"score.weight": torch.zeros(1, 7)}, r"score\.weight has shape \[1, 7\]"),
        ({"value.weight": torch.zeros(1, 7)}, r"value\.weight is not part of a plain llama model"),
    ],
)
def test_heads_that_are_not_supported(
    changes: dict[str, Tensor | None],
    message: str,
    make_decoder: Callable[..., Decoder],
    tiny_tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:
    burnish.save_reward_model(ScalarModel(make_decoder()), tiny_tokenizer, tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name: tensor for name, tensor in {**load_file(file), **changes}.items() if tensor is not None}
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


@pytest.mark.parametrize("key", ["num_labels", "id2label"])
def test_several_labels_are_not_a_reward(
    key: str, make_decoder: Callable[..., Decoder], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    burnish.save_reward_model(ScalarModel(make_decoder()), tiny_tokenizer, tmp_path)
    file = tmp_path / "config.json"
    values = json.loads(file.read_text())
    del values["num_labels"]
    file.write_text(json.dumps({**values, key: 3 if key == "num_labels" else {"0": "a", "1": "b", "2": "c"}}))
    with pytest.raises(CheckpointError, match=r"config\.json: the model has 3 labels; a reward model has one"):
        load(tmp_path)
