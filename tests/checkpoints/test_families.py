"""Every model family: the same logits and tokens as transformers, from its files and back to them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from family_models import CASES, make_model
from references import assert_equal_logits, load_in_transformers, transformers_greedy, transformers_logits
from torch import Tensor

import burnish
from burnish.checkpoints.peft import save_adapter
from burnish.datasets.batches import Steps, document_batches
from burnish.forest import Forest
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora, merge_lora
from burnish.objectives.language_model import language_model
from burnish.text.tokenizer import Tokenizer
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import train

pytest.importorskip("transformers")

SHARED = [1, 17, 30, 4, 4, 9, 100, 101]
SEQUENCES = [
    [*SHARED, 55, 2, 63, 200, 5, 6],
    [*SHARED, 250, 251, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
    [299, 3, 77],
    list(range(40, 64)),
]


@pytest.fixture(scope="session", params=CASES)
def reference(request: pytest.FixtureRequest, tiny_tokenizer: Tokenizer, tmp_path_factory: Any) -> tuple[Any, Path]:
    """A model of transformers and the folder that it saved."""
    folder = tmp_path_factory.mktemp("family")
    model = make_model(request.param)
    model.save_pretrained(folder)
    tiny_tokenizer.save(folder)
    return model, folder


def load(folder: Path) -> Decoder:
    return burnish.load(folder, compute_dtype=torch.float32, device="cpu")[0].eval()


@torch.no_grad()
def packed_logits(decoder: Decoder) -> list[Tensor]:
    """Logits of `SEQUENCES`, computed in one forest where two share their beginning."""
    forest, ends = Forest.from_sequences(SEQUENCES, min_shared=4)
    assert forest.n_tokens < sum(map(len, SEQUENCES))
    logits = decoder.logits(decoder(forest))
    return [logits[forest.path(end)] for end in ends]


def assert_computes_the_same(decoder: Decoder, model: Any) -> None:
    for sequence, logits in zip(SEQUENCES, packed_logits(decoder), strict=True):
        assert_equal_logits(logits, transformers_logits(model, sequence))


def test_loads_what_transformers_saves(reference: tuple[Any, Path]) -> None:
    model, folder = reference
    decoder = load(folder)
    assert decoder.config.model_type == model.config.model_type
    assert_computes_the_same(decoder, model)


def test_transformers_loads_what_we_save(
    reference: tuple[Any, Path], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    import transformers

    model, folder = reference
    decoder = load(folder)
    burnish.save(decoder, tiny_tokenizer, tmp_path / "model")
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert type(theirs) is type(model)
    assert not any(info.values()), info
    assert_computes_the_same(decoder, theirs)
    again = load(tmp_path / "model")
    assert again.config == decoder.config
    for (name, found), expected in zip(again.state_dict().items(), decoder.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if "norm" in name else 0, msg=name)


def test_generates_the_same_tokens(reference: tuple[Any, Path]) -> None:
    model, folder = reference
    completions = generate(load(folder), SEQUENCES, Sampling(temperature=0.0, max_new_tokens=12))
    for sequence, (completion,) in zip(SEQUENCES, completions, strict=True):
        assert completion.tokens == transformers_greedy(model, sequence, 12)


def test_a_fused_family_is_fine_tuned_with_adapters(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Adapters of the parts of Phi-3's matrices learn; transformers and peft compute what was learned."""
    peft = pytest.importorskip("peft")
    make_model("phi3").save_pretrained(tmp_path / "base")
    tiny_tokenizer.save(tmp_path / "base")
    decoder = load(tmp_path / "base")
    add_lora(decoder, LoraConfig(rank=4, alpha=8.0), seed=0)
    config = TrainingConfig(learning_rate=2e-2, batch_size=4, epochs=12, checkpoint_seconds=1e9)
    steps = Steps([[0]] * 12, lambda _: document_batches(SEQUENCES, micro_batch_tokens=64))
    train(decoder, language_model, steps, config, folder=tmp_path, seed=0, identity="phi3")
    losses = [event["loss"] for event in read_events(tmp_path)]
    assert losses[-1] < 0.8 * losses[0]

    save_adapter(decoder, tmp_path / "adapter", base="../base")
    base = load_in_transformers(tmp_path / "base")
    assert_computes_the_same(decoder.eval(), peft.PeftModel.from_pretrained(base, tmp_path / "adapter"))
    merge_lora(decoder)
    burnish.save(decoder, tiny_tokenizer, tmp_path / "merged")
    assert_computes_the_same(decoder, load_in_transformers(tmp_path / "merged"))
