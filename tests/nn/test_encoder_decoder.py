"""The encoder-decoder over forests equals the textbook and PyTorch's padded one, in value and gradient."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import textbook
import torch
from agreement import assert_agree
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from burnish.forest import Forest
from burnish.nn.attention import reference
from burnish.nn.config import DecoderConfig, DeepNorm, EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.nn.linear import Linear
from forests import forests
from tiny_models import TINY

SMALL = EncoderDecoderConfig.alike(replace(TINY, norm_eps=1e-3), start_id=1)
SOURCES = [[5, 6, 7], [9, 8, 7, 6, 5, 4], [11]]
TARGETS = [[1, 20, 21, 22, 23], [1, 30], [1, 12, 13]]


def _forest(sequences: Sequence[Sequence[int]]) -> Forest:
    return Forest.from_segments((sequence, -1) for sequence in sequences)


def _model(config: EncoderDecoderConfig, seed: int = 0) -> EncoderDecoder:
    """Weights of a size at which every sublayer matters, norms and gains around one, random biases."""
    model = EncoderDecoder(config)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith(("gain", "running_variance")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() == 2:
            tensor.normal_(std=0.5 if "embedding" in name else tensor.shape[1] ** -0.5, generator=generator)
        else:
            tensor.normal_(mean=float("norm.weight" in name), std=0.3, generator=generator)
    return model


def _used(model: EncoderDecoder) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if "head" not in name]


def _assert_equals_the_textbook(model: EncoderDecoder, targets: Forest, sources: Forest, rtol: float = 5e-5) -> None:
    state = {name: tensor.double() for name, tensor in model.state_dict(keep_vars=True).items()}
    expected = textbook.encoder_decoder(model.config, state, targets, sources, training=model.training)
    assert_agree(model(targets, sources), expected, _used(model), rtol=rtol)


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich", "deepnorm", "reordered"])
@pytest.mark.parametrize("norm", ["rms", "layer", "batch", "none"])
def test_every_norm_and_placement(norm: str, placement: str) -> None:
    config = replace(SMALL.decoder, norm=norm, norm_placement=placement, embedding_norm=True)
    model = _model(EncoderDecoderConfig.alike(config, start_id=1, encoder={"n_layers": 1}))
    _assert_equals_the_textbook(model, _forest(TARGETS), _forest(SOURCES))
    _assert_equals_the_textbook(model.eval(), _forest(TARGETS), _forest(SOURCES))


@st.composite
def configs(draw: st.DrawFn) -> EncoderDecoderConfig:
    """MHA, GQA and MQA in each of the three attentions, and what else concerns two sides."""
    heads = st.sampled_from([1, 2, 4])
    options = {
        "qkv_bias": st.booleans(),
        "attention_bias": st.booleans(),
        "qk_norm": st.sampled_from([None, "head", "projection"]),
        "attention_scale": st.sampled_from([None, 0.2]),
        "attention_softcap": st.sampled_from([None, 4.0]),
        "positions": st.sampled_from(["rotary", "learned"]),
        "norm": st.sampled_from(["rms", "weight"]),
        "residual": st.booleans(),
        "embedding_norm": st.booleans(),
        "tie_embeddings": st.booleans(),
    }
    decoder = replace(
        SMALL.decoder,
        n_kv_heads=draw(heads),
        sliding_window=draw(st.none() | st.integers(1, 5)),
        **draw(st.fixed_dictionaries(options)),
    )
    changes = {"n_kv_heads": draw(heads), "n_layers": draw(st.integers(1, 2)), "d_ff": 16, "sliding_window": None}
    return EncoderDecoderConfig.alike(
        decoder, start_id=1, encoder=changes, cross_kv_heads=draw(heads), share_embedding=draw(st.booleans())
    )


@given(data=st.data(), config=configs(), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_any_configuration_equals_the_textbook_over_forests(
    data: st.DataObject, config: EncoderDecoderConfig, seed: int
) -> None:
    targets = data.draw(forests())
    sources = data.draw(forests(n_trees=len(targets.roots)))
    _assert_equals_the_textbook(_model(config, seed), targets, sources, rtol=2e-4)


def _as_in_pytorch(model: EncoderDecoder) -> nn.Transformer:
    """`torch.nn.Transformer` with the same weights, as leaves of its own."""
    config = model.config.decoder
    theirs = nn.Transformer(
        config.d_model,
        config.n_heads,
        config.n_layers,
        config.n_layers,
        config.d_ff,
        dropout=0.0,
        layer_norm_eps=config.norm_eps,
        batch_first=True,
        norm_first=True,
    )
    names = {"self_attn": "attention", "multihead_attn": "cross_attention", "linear1": "feed_forward.up"}
    names |= {"linear2": "feed_forward.down", "norm1": "attention_norm", "in_proj_": "qkv.", "out_proj": "o"}
    state = model.state_dict()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            side = name.partition(".")[0]
            last = "norm3" if side == "decoder" else "norm2"
            ours = name.replace("layers.", "blocks.").replace(last, "feed_forward_norm")
            ours = ours.replace("norm2", "cross_attention_norm")
            for theirs_, mine in names.items():
                ours = ours.replace(theirs_, mine)
            parameter.copy_(state[ours])
    return theirs


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_value_and_gradient_equal_pytorchs_padded_transformer() -> None:
    decoder = replace(
        TINY, n_kv_heads=4, head_dim=6, positions="learned", norm="layer", gated=False, activation="relu",
        qkv_bias=True, attention_bias=True, feed_forward_bias=True,
    )  # fmt: skip
    model = _model(EncoderDecoderConfig.alike(decoder, start_id=1))
    theirs = _as_in_pytorch(model)
    tables = [
        table.detach().clone().requires_grad_()
        for side in (model.encoder, model.decoder)
        if side.position_embedding is not None
        for table in (side.embedding.weight, side.position_embedding.weight)
    ]

    def padded(sequences: list[list[int]], embedding: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        tokens = pad_sequence([torch.tensor(sequence) for sequence in sequences], batch_first=True, padding_value=-1)
        return embedding[tokens.clamp(min=0)] + positions[: tokens.shape[1]], tokens < 0

    source, source_padding = padded(SOURCES, *tables[:2])
    target, target_padding = padded(TARGETS, *tables[2:])
    out = theirs(
        source,
        target,
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(target.shape[1]),
        src_key_padding_mask=source_padding,
        memory_key_padding_mask=source_padding,
        tgt_key_padding_mask=target_padding.float().masked_fill(target_padding, -torch.inf),
        tgt_is_causal=True,
    )
    expected = out[~target_padding]
    found = model(_forest(TARGETS), _forest(SOURCES))
    assert_agree(found, expected)

    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for name, ours in (("encoder", model.encoder), ("decoder", model.decoder)):
        side = theirs.get_submodule(name)
        for layer, block in enumerate(ours.blocks):
            their_layer = side.get_submodule(f"layers.{layer}")
            pairs = [(block.attention.qkv.weight, their_layer.self_attn.in_proj_weight)]
            pairs += [(block.feed_forward.up.weight, their_layer.linear1.weight)]
            if name == "decoder":
                pairs += [(block.cross_attention.qkv.weight, their_layer.multihead_attn.in_proj_weight)]
                pairs += [(block.cross_attention.o.bias, their_layer.multihead_attn.out_proj.bias)]
            for mine, other in pairs:
                torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)
    # One embedding of ours is two of theirs.
    torch.testing.assert_close(
        model.decoder.embedding.weight.grad, tables[0].grad + tables[2].grad, rtol=1e-4, atol=1e-4
    )


@given(st.data(), st.integers(0, 9))
@settings(max_examples=8)
def test_a_pair_computes_the_same_alone_as_in_a_batch(data: st.DataObject, seed: int) -> None:
    text = st.lists(st.integers(0, 49), min_size=1, max_size=9)
    pairs = data.draw(st.lists(st.tuples(text, text), min_size=1, max_size=4))
    model = _model(SMALL, seed)
    with torch.no_grad():
        whole = model(_forest([target for _, target in pairs]), _forest([source for source, _ in pairs]))
        for (source, target), hidden in zip(pairs, whole.split([len(target) for _, target in pairs]), strict=True):
            alone = model(_forest([target]), _forest([source]), backend=reference.attention)
            torch.testing.assert_close(hidden, alone, rtol=1e-4, atol=1e-4)


def test_targets_of_one_source_share_its_encoding() -> None:
    model = _model(SMALL)
    targets = Forest.from_segments([([1], -1), ([20, 21], 0), ([30], 0)])
    hidden = model(targets, _forest(SOURCES[:1]))
    for segment, target in ((1, [1, 20, 21]), (2, [1, 30])):
        alone = model(_forest([target]), _forest(SOURCES[:1]))
        torch.testing.assert_close(hidden[targets.path(segment)], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": False}, {"logits_bias": True, "logits_softcap": 3.0}])
def test_log_probabilities_are_those_of_the_logits_and_so_are_the_gradients(changes: dict[str, Any]) -> None:
    model = _model(EncoderDecoderConfig.alike(replace(SMALL.decoder, **changes), start_id=1))
    targets, sources = _forest(TARGETS), _forest(SOURCES)
    scored = torch.tensor([index for index, before in enumerate(targets.predecessors.tolist()) if before >= 0])
    logits = model.logits(model(targets, sources))
    expected = logits.log_softmax(-1)[targets.predecessors[scored]].gather(1, targets.tokens[scored, None]).squeeze(1)
    assert_agree(model.logps(targets, scored, sources), expected, list(model.parameters()))
    if changes.get("logits_bias"):
        bias = model.decoder.logits_bias
        assert bias is not None
        assert bias.abs().max() > 0
        assert not bias.requires_grad


def test_one_embedding_serves_both_sides_unless_asked_otherwise() -> None:
    names = dict(EncoderDecoder(SMALL).named_parameters())
    assert [name for name in names if "embedding" in name] == ["encoder.embedding.weight"]
    apart = EncoderDecoder(replace(SMALL, share_embedding=False))
    assert len([name for name, _ in apart.named_parameters() if "embedding" in name]) == 2


def test_weights_are_a_function_of_the_seed() -> None:
    one, two = EncoderDecoder(SMALL), EncoderDecoder(SMALL)
    one.initialize(seed=3)
    two.initialize(seed=3)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    two.initialize(seed=4)
    assert not torch.equal(one.decoder.embedding.weight, two.decoder.embedding.weight)


def test_deepnorm_scales_as_its_paper_says_for_two_sides() -> None:
    """0.81 (N⁴ M)^1/16 and 0.87 (N⁴ M)^-1/16; (3 M)^1/4 and (12 M)^-1/4: Wang 2022, figure 2, the last columns."""
    config = EncoderDecoderConfig.alike(
        replace(TINY, norm_placement="deepnorm", n_layers=4), start_id=1, encoder={"n_layers": 2}
    )
    encoder, decoder = config.deepnorms
    assert encoder == pytest.approx((0.81 * 64 ** (1 / 16), 0.87 * 64 ** (-1 / 16)))
    assert decoder == pytest.approx((12**0.25, 48**-0.25))
    assert SMALL.deepnorms == (DeepNorm(), DeepNorm())
    model = EncoderDecoder(config)
    scale = model.decoder.blocks[0].cross_attention.o.weight.std().item()
    assert scale == pytest.approx(48**-0.25 * (2 / (32 + 24)) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": replace(SMALL.encoder, causal=True)}, "an encoder is not causal .* got True and True"),
        ({"decoder": replace(SMALL.decoder, causal=False)}, "got False and False"),
        ({"encoder": replace(SMALL.encoder, tie_embeddings=False)}, "an encoder has no output layer"),
        ({"encoder": replace(SMALL.encoder, d_model=32)}, "equally wide, got d_model 32 and 24"),
        ({"encoder": replace(SMALL.encoder, vocab_size=9)}, "one embedding has one vocab_size, got 9 .* and 50"),
        ({"encoder": replace(SMALL.encoder, sliding_window=3)}, "an encoder looks both ways"),
        ({"decoder": replace(SMALL.decoder, parallel=True)}, "parallel sublayers leave no place"),
        ({"cross_kv_heads": 3}, r"cross_kv_heads \(3\) must divide n_heads \(4\)"),
        ({"start_id": 50}, r"start_id must be a token below vocab_size \(50\), got 50"),
        ({"forced_id": -1}, "forced_id must be a token"),
    ],
)  # fmt: skip
def test_sides_that_do_not_fit_are_refused_with_the_values_at_fault(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


def test_trees_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="3 trees of queries but 2 of context"):
        EncoderDecoder(SMALL)(_forest(TARGETS), _forest(SOURCES[:2]))


def test_a_source_beyond_the_learned_positions_is_refused() -> None:
    config = EncoderDecoderConfig.alike(replace(TINY, positions="learned", max_positions=5), start_id=1)
    with pytest.raises(ValueError, match="a sequence of 6 tokens is longer than the 5 positions"):
        EncoderDecoder(config)(_forest([[1]]), _forest([[1, 2, 3, 4, 5, 6]]))


def test_both_sides_of_a_configuration_are_alike_but_for_what_is_asked() -> None:
    config = EncoderDecoderConfig.alike(TINY, start_id=3, forced_id=4, encoder={"n_layers": 7})
    assert config.decoder == TINY
    assert config.encoder == replace(TINY, n_layers=7, causal=False)
    assert isinstance(config.encoder, DecoderConfig)
    assert config.prefix == [3, 4]
    assert config.n_cross_kv_heads == TINY.n_kv_heads


def test_what_is_read_in_parts_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model, packed = _model(SMALL), []
    monkeypatch.setattr(Linear, "pack", lambda linear, rows: packed.append(linear))
    model.pack(8)
    across = model.decoder.blocks[0].get_submodule("cross_attention")
    assert across.get_submodule("o") in packed
    assert across.get_submodule("qkv") not in packed
    assert model.decoder.blocks[0].get_submodule("attention.qkv") in packed
