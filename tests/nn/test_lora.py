"""Adapters change nothing at first, train alone, equal the naive low-rank terms, and merge to the same model."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import textbook
import torch
import torch.nn.functional as F
from agreement import assert_agree
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.attention import cross_attention
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear
from burnish.nn.lora import TARGETS, LoraConfig, LoraLinear, adapters_disabled, add_lora, lora_config, merge_lora
from tiny_models import TINY

FOREST, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
BIASED = replace(TINY, qkv_bias=True, attention_bias=True, feed_forward_bias=True)
UNGATED = replace(TINY, gated=False)
# As q, k and v are the parts of `qkv`, so are gate and up those of `gate_up`.
TARGETS_OF_PARTS = [
    TARGETS,
    ("q", "v"),
    ("k",),
    ("up", "q"),
    ("v", "k", "q"),
    ("o", "down"),
    ("qkv",),
    ("qkv", "gate_up", "o", "down"),
    ("qkv", "k", "gate"),
]


def _with_random_adapters(
    dtype: torch.dtype = torch.float32, config: DecoderConfig = TINY, targets: tuple[str, ...] = TARGETS
) -> Decoder:
    decoder = Decoder(config, compute_dtype=dtype)
    generator = torch.Generator().manual_seed(2)
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    add_lora(decoder, LoraConfig(rank=3, alpha=6.0, targets=targets), seed=1)
    for linear in _adapted(decoder).values():
        for b in linear.lora_b.values():
            torch.nn.init.normal_(b, std=0.3, generator=generator)
    return decoder


def _adapted(decoder: Decoder) -> dict[str, LoraLinear]:
    return {name: module for name, module in decoder.named_modules() if isinstance(module, LoraLinear)}


def _naive_state(decoder: Decoder) -> dict[str, Tensor]:
    """The plain parameters, every matrix with its own `2 B A` added to the rows of its part, with their graph."""
    state = {name: tensor.double() for name, tensor in decoder.named_parameters() if "lora_" not in name}
    for name, linear in _adapted(decoder).items():
        rows = dict(linear.parts)
        rows |= {"qkv": slice(0, linear.out_features), "gate_up": slice(0, linear.out_features)}
        total = state[f"{name}.weight"]
        for part, a in linear.lora_a.items():
            term = 2.0 * linear.lora_b[part].double() @ a.double()
            above, below = rows[part].start, linear.out_features - rows[part].stop
            total = total + F.pad(term, (0, 0, above, below))
        state[f"{name}.weight"] = total
    return state


def test_new_adapters_change_nothing() -> None:
    decoder = Decoder(TINY)
    before = decoder(FOREST)
    add_lora(decoder, LoraConfig(rank=3), seed=1)
    torch.testing.assert_close(decoder(FOREST), before, rtol=0, atol=0)


def test_disabled_adapters_leave_the_base() -> None:
    decoder = Decoder(TINY)
    before = decoder(FOREST)
    add_lora(decoder, LoraConfig(rank=3), seed=1)
    for name, parameter in decoder.named_parameters():
        if "lora_b" in name:
            parameter.data.normal_(generator=torch.Generator().manual_seed(0))
    adapted = decoder(FOREST)
    assert (adapted - before).abs().max() > 0.01
    with adapters_disabled(decoder):
        torch.testing.assert_close(decoder(FOREST), before, rtol=0, atol=0)
    torch.testing.assert_close(decoder(FOREST), adapted, rtol=0, atol=0)
    with pytest.raises(RuntimeError), adapters_disabled(decoder):
        raise RuntimeError
    torch.testing.assert_close(decoder(FOREST), adapted, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_adapters_get_gradients(dtype: torch.dtype) -> None:
    decoder = _with_random_adapters(dtype)
    decoder(FOREST).square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name


@pytest.mark.parametrize("config", [TINY, BIASED])
@pytest.mark.parametrize("targets", TARGETS_OF_PARTS)
def test_adapters_equal_the_naive_low_rank_terms(config: DecoderConfig, targets: tuple[str, ...]) -> None:
    decoder = _with_random_adapters(config=config, targets=targets)
    trained = [parameter for parameter in decoder.parameters() if parameter.requires_grad]
    expected = textbook.decoder(config, _naive_state(decoder), FOREST)
    assert_agree(decoder(FOREST), expected, trained, rtol=3e-5)


@pytest.mark.parametrize("targets", [("q", "k", "v"), ("k",), ("v", "q"), ("qkv",), ("qkv", "q")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_input_passes_through_adapters(targets: tuple[str, ...], dtype: torch.dtype) -> None:
    linear = _with_random_adapters(dtype, BIASED, targets).blocks[0].attention.qkv
    x = torch.randn(7, TINY.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()
    merged = linear.merged()
    expected = F.linear(x, merged.weight, merged.bias)
    rtol = 1e-5 if dtype == torch.float32 else 0.02
    assert linear(x).dtype == dtype
    assert_agree(linear(x).float(), expected, [x], rtol=rtol)


def test_cross_attention_uses_the_adapters_of_its_rows() -> None:
    decoder = _with_random_adapters(config=BIASED, targets=("q", "v"))
    context = Forest.from_segments([([1, 2, 3], -1)])
    x, y = (
        torch.randn(forest.n_tokens, TINY.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for forest in (FOREST, context)
    )

    def attended() -> Tensor:
        attention = decoder.blocks[0].attention
        k, v = attention.keys_and_values(y)
        return attention.across(x, lambda q: cross_attention(q, k, v, FOREST, context))

    found = attended()
    merge_lora(decoder)
    assert_agree(found, attended(), [x, y])


@pytest.mark.parametrize("config", [TINY, BIASED])
@pytest.mark.parametrize("targets", TARGETS_OF_PARTS)
def test_merging_keeps_the_function_and_removes_the_adapters(config: DecoderConfig, targets: tuple[str, ...]) -> None:
    decoder = _with_random_adapters(config=config, targets=targets)
    before = decoder(FOREST)
    names = set(Decoder(config).state_dict())
    assert lora_config(decoder) == LoraConfig(rank=3, alpha=6.0, targets=targets)
    merge_lora(decoder)
    assert lora_config(decoder) is None
    assert all(parameter.requires_grad for parameter in decoder.parameters())
    assert set(decoder.state_dict()) == names
    torch.testing.assert_close(decoder(FOREST), before, rtol=1e-4, atol=1e-4)
    parts = [module.parts for module in decoder.modules() if isinstance(module, Linear)]
    assert parts == [module.parts for module in Decoder(config).modules() if isinstance(module, Linear)]


def test_merging_leaves_the_weights_of_another_model_that_shares_them() -> None:
    decoder = _with_random_adapters()
    base = decoder.blocks[0].attention.qkv.weight
    kept = base.clone()
    merge_lora(decoder)
    assert torch.equal(base, kept)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (("q", "v"), {"attention.qkv": {"q", "v"}}),
        (("qkv",), {"attention.qkv": {"qkv"}}),
        (TARGETS, {"attention.qkv": {"q", "k", "v"}, "attention.o": {"o"}, "feed_forward.gate_up": {"gate", "up"},
                   "feed_forward.down": {"down"}}),
        (("up",), {"feed_forward.gate_up": {"up"}}),
    ],
)  # fmt: skip
def test_targets_choose_the_projections(targets: tuple[str, ...], expected: dict[str, set[str]]) -> None:
    decoder = Decoder(TINY)
    add_lora(decoder, LoraConfig(rank=2, targets=targets), seed=0)
    found = {name: set(linear.lora_a) for name, linear in _adapted(decoder).items()}
    assert found == {f"blocks.{layer}.{name}": parts for layer in range(2) for name, parts in expected.items()}
    for linear in _adapted(decoder).values():
        for part, a in linear.lora_a.items():
            assert a.shape == (2, linear.in_features)
            whole = part not in linear.parts
            width = linear.out_features if whole else linear.parts[part].stop - linear.parts[part].start
            assert linear.lora_b[part].shape == (width, 2)


def test_without_a_gate_up_alone_is_adapted() -> None:
    decoder = _with_random_adapters(config=UNGATED, targets=("gate", "up"))
    assert set(_adapted(decoder)) == {"blocks.0.feed_forward.up", "blocks.1.feed_forward.up"}
    trained = [parameter for parameter in decoder.parameters() if parameter.requires_grad]
    assert_agree(decoder(FOREST), textbook.decoder(UNGATED, _naive_state(decoder), FOREST), trained, rtol=3e-5)


def test_the_initial_adapters_are_a_function_of_the_seed_and_bounded_as_in_peft() -> None:
    drawn = []
    for seed in (1, 1, 2):
        decoder = Decoder(TINY)
        add_lora(decoder, LoraConfig(rank=8), seed=seed)
        drawn.append([a for linear in _adapted(decoder).values() for a in linear.lora_a.values()])
    assert all(torch.equal(a, b) for a, b in zip(drawn[0], drawn[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(drawn[0], drawn[2], strict=True))
    for a in drawn[0]:
        bound = a.shape[1] ** -0.5
        assert 0.9 * bound < a.abs().max() <= bound


def test_dropout_acts_in_training_only() -> None:
    decoder = _with_random_adapters()
    for linear in _adapted(decoder).values():
        linear.config = LoraConfig(rank=3, alpha=6.0, dropout=0.5)
    decoder.train()
    assert not torch.equal(decoder(FOREST), decoder(FOREST))
    decoder.eval()
    assert torch.equal(decoder(FOREST), decoder(FOREST))


@pytest.mark.parametrize("prepare", [lambda decoder: None, lambda decoder: decoder.pack(8)], ids=["plain", "packed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generation_uses_adapters_that_changed(prepare: Callable[[Decoder], None], dtype: torch.dtype) -> None:
    decoder = _with_random_adapters(dtype).eval()
    with torch.no_grad():
        prepare(decoder)
        before = decoder(FOREST)
        for linear in _adapted(decoder).values():
            for b in linear.lora_b.values():
                b.mul_(-3.0)
        changed = decoder(FOREST)
        assert not torch.allclose(changed, before, atol=1e-2)
    assert_agree(
        changed, textbook.decoder(TINY, _naive_state(decoder), FOREST), rtol=1e-5 if dtype.itemsize == 4 else 0.1
    )


def test_weight_normalized_projections_take_no_adapters() -> None:
    with pytest.raises(ValueError, match="weight-normalized"):
        add_lora(Decoder(replace(TINY, norm="weight")), LoraConfig(), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank"),
        ({"dropout": 1.0}, "dropout"),
        ({"targets": ("head",)}, "targets"),
        ({"targets": ()}, "targets"),
    ],
)
def test_wrong_settings_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoraConfig(**options)
