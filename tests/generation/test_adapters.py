"""Requests that name an adapter: the tokens of a model that it is merged into, whoever is beside them."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.checkpoints.peft import read_adapter, save_adapter
from burnish.generation.drafts import LookUp, Speculation
from burnish.generation.engine import Engine
from burnish.generation.request import Completion, Request
from burnish.generation.sampling import Sampling
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, LoraLinear, add_lora, merge_lora
from burnish.nn.routed_lora import Adapter, Adapters
from tiny_models import tiny_decoder

NAMES = (None, "a", "b")
SAMPLINGS = (Sampling(temperature=0, max_new_tokens=9), Sampling(temperature=1, max_new_tokens=7))


def _adapted(seed: int, targets: tuple[str, ...]) -> Decoder:
    decoder = tiny_decoder(scale=8)
    add_lora(decoder, LoraConfig(rank=3, alpha=5, targets=targets), seed=seed)
    for module in decoder.modules():
        if isinstance(module, LoraLinear):
            for b in module.lora_b.values():
                torch.nn.init.normal_(b, std=2, generator=torch.Generator().manual_seed(seed))
    return decoder.eval()


@pytest.fixture(scope="module")
def models() -> dict[str | None, Decoder]:
    """By each name the model that answers with its weights merged."""
    found: dict[str | None, Decoder] = {None: tiny_decoder(scale=8)}
    for name, targets in (("a", ("q", "v", "down")), ("b", ("k", "o", "gate", "up"))):
        decoder = _adapted(ord(name), targets)
        merge_lora(decoder)
        found[name] = decoder.eval()
    return found


@pytest.fixture(scope="module")
def adapters() -> dict[str, Adapter]:
    return {
        "a": Adapter.of(_adapted(ord("a"), ("q", "v", "down"))),
        "b": Adapter.of(_adapted(ord("b"), ("k", "o", "gate", "up"))),
    }


def _request(number: int) -> Request:
    prompt = [*range(3 + 4 * (number % 4)), number % 3]
    sampling, adapter = SAMPLINGS[number % 2], NAMES[number % 3]
    return Request(prompt=prompt, sampling=sampling, seed=number, adapter=adapter, remember=number % 5 > 2)


def _engine(adapters: dict[str, Adapter], **options: object) -> Engine:
    decoder = tiny_decoder(scale=8)
    return Engine(decoder, adapters=Adapters(decoder, adapters), **options)  # type: ignore[arg-type]


def _merged(models: dict[str | None, Decoder], request: Request) -> Completion:
    plain = Request(prompt=request.prompt, sampling=request.sampling, seed=request.seed)
    return Engine(models[request.adapter]).run([plain])[0]


def test_adapters_side_by_side_write_what_merged_models_write(
    models: dict[str | None, Decoder], adapters: dict[str, Adapter]
) -> None:
    requests = [_request(number) for number in range(12)]
    expected = [_merged(models, request) for request in requests]
    assert len({tuple(_merged(models, _request(0)).tokens) for _ in NAMES}) == 1
    said = {
        name: tuple(_merged(models, Request(prompt=[1, 2, 3], sampling=SAMPLINGS[0], adapter=name)).tokens)
        for name in NAMES
    }
    assert len(set(said.values())) == 3, "the adapters change what is said"
    for found, of in zip(_engine(adapters).run(requests), expected, strict=True):
        assert found.drawn == of.drawn
        assert found.logps == pytest.approx(of.logps, abs=1e-3)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "step", "step", "remove"]), st.integers(0, 99)), max_size=40),
    st.sampled_from([0, 20_000, 2**30]),
    st.sampled_from([None, 5]),
    st.booleans(),
)
@settings(max_examples=8)
def test_any_interleaving_gives_the_tokens_of_merged_models(
    models: dict[str | None, Decoder],
    adapters: dict[str, Adapter],
    actions: list[tuple[str, int]],
    budget: int,
    prefill_tokens: int | None,
    speculates: bool,
) -> None:
    speculation = Speculation(drafter=LookUp(), tokens=4) if speculates else None
    engine = _engine(adapters, max_rows=5, cache_bytes=budget, prefill_tokens=prefill_tokens, speculation=speculation)
    asked, removed, completions = dict[int, Request](), set[int](), dict[int, Completion]()
    for action, number in [*actions, *[("step", 0)] * 300]:
        if action == "add":
            asked[engine.add(_request(number))] = _request(number)
        elif action == "remove" and asked:
            removed |= {one for one in [list(asked)[number % len(asked)]] if engine.remove(one)}
        elif action == "step" and engine.busy:
            completions |= {one.request: one.completion for one in engine.step() if one.completion is not None}
    assert not engine.busy
    assert engine.cached_bytes <= budget
    assert sorted([*completions, *removed]) == sorted(asked)
    for number, completion in completions.items():
        assert completion.drawn == _merged(models, asked[number]).drawn


def test_a_prompt_is_kept_for_its_adapter_alone(adapters: dict[str, Adapter]) -> None:
    engine = _engine(adapters, cache_bytes=2**20)
    prompt, sampling = list(range(20)), SAMPLINGS[0]
    reused = [
        engine.run([Request(prompt=prompt, sampling=sampling, adapter=name)])[0].reused
        for name in (None, "a", "a", "b", None, "b")
    ]
    assert reused == [0, 0, 19, 0, 19, 19]
    engine.forget()
    assert engine.cached_bytes == 0
    with pytest.raises(ValueError, match="no adapter 'c'"):
        engine.add(Request(prompt=prompt, adapter="c"))


def test_an_adapter_is_read_beside_a_model(tmp_path: Path, adapters: dict[str, Adapter]) -> None:
    adapted = _adapted(ord("a"), ("q", "v", "down"))
    save_adapter(adapted, tmp_path / "a", "base")
    decoder = tiny_decoder(scale=8)
    before = copy.deepcopy(decoder.state_dict())
    read = read_adapter(decoder, tmp_path / "a")
    assert read.terms.keys() == adapters["a"].terms.keys()
    for name, terms in read.terms.items():
        for part, (a, b) in terms.items():
            torch.testing.assert_close((b @ a), adapters["a"].terms[name][part][1] @ adapters["a"].terms[name][part][0])
    assert read.n_bytes == sum(4 * 3 * (a.shape[1] + len(b)) for t in read.terms.values() for a, b in t.values())
    assert all(torch.equal(before[name], tensor) for name, tensor in decoder.state_dict().items())
