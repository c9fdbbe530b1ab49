"""The decoder over a forest equals a naive one over sequences; precision and chunking change nothing that matters."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from agreement import assert_agree
from hypothesis import given, settings

from burnish.forest import Forest
from burnish.nn.attention import reference
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from forests import forests, leaves
from tiny_models import TINY, tiny_decoder


def _all_scored(forest: Forest) -> torch.Tensor:
    return torch.arange(forest.n_tokens)[forest.predecessors >= 0]


@given(forests())
@settings(max_examples=25)
def test_log_probabilities_and_gradients_equal_one_sequence_at_a_time(forest: Forest) -> None:
    scored = _all_scored(forest)
    if len(scored) == 0:
        return
    decoder = Decoder(TINY)
    weights = torch.linspace(0.5, 1.5, len(scored))
    logps = decoder.logps(forest, scored)
    found = torch.autograd.grad((logps * weights).sum(), list(decoder.parameters()))

    weight_of = torch.zeros(forest.n_tokens).index_put((scored,), weights)
    naive = torch.zeros(forest.n_tokens)
    total = torch.zeros(())
    seen: set[int] = set()
    for leaf in leaves(forest):
        path = forest.path(leaf)
        alone = Forest(forest.tokens[path], (len(path),), (-1,))
        logits = decoder.logits(decoder(alone, backend=reference.attention))
        token_logps = logits[:-1].log_softmax(-1).gather(1, forest.tokens[path[1:], None]).squeeze(1)
        for place, token in enumerate(path[1:].tolist()):
            if token not in seen:
                seen.add(token)
                naive[token] = token_logps[place].detach()
                total = total + token_logps[place] * weight_of[token]
    torch.testing.assert_close(logps.detach(), naive[scored], rtol=1e-5, atol=1e-5)
    for a, b in zip(found, torch.autograd.grad(total, list(decoder.parameters())), strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-6


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_that_a_checkpoint_names(tied: bool) -> None:
    decoder = Decoder(replace(TINY, tie_embeddings=tied))
    assert ("head.weight" in decoder.state_dict()) is not tied
    assert decoder.output_projection is (decoder.embedding if tied else decoder.head)


@pytest.mark.parametrize("options", [{}, {"logits_softcap": 0.5}, {"tie_embeddings": False}])
@pytest.mark.parametrize("shape", [(2, 3), (3,), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_capped_products_of_hidden_states_of_any_shape(
    options: dict[str, Any], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    decoder = Decoder(replace(TINY, **options), compute_dtype=dtype)
    hidden = torch.randn(*shape, TINY.d_model, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = decoder.embedding.weight if decoder.head is None else decoder.head.weight
    expected = (hidden.to(dtype) @ weight.t().to(dtype)).float()
    if "logits_softcap" in options:
        expected = 0.5 * torch.tanh(expected / 0.5)
    found = decoder.logits(hidden)
    assert found.dtype == torch.float32
    assert_agree(found, expected, [hidden, weight], rtol=1e-5 if dtype == torch.float32 else 1e-2)


@pytest.mark.parametrize("options", [{"embedding_scale": 5.0, "logits_softcap": 0.5}, {"tie_embeddings": False}])
def test_log_probabilities_are_those_of_the_logits(options: dict[str, Any]) -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    decoder, scored = Decoder(replace(TINY, **options)), _all_scored(forest)
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(10)
    logits = decoder.logits(decoder(forest))[forest.predecessors[scored]]
    expected = logits.log_softmax(-1).gather(1, forest.tokens[scored, None]).squeeze(1)
    assert_agree(decoder.logps(forest, scored), expected, list(decoder.parameters()), rtol=2e-5)


@pytest.mark.parametrize("softcap", [None, 0.5])
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.9])
def test_scores_at_a_temperature_are_those_of_what_sampling_draws_from(
    softcap: float | None, temperature: float
) -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    decoder, scored = tiny_decoder(0, 5, logits_softcap=softcap), _all_scored(forest)
    log_p = (decoder.logits(decoder(forest))[forest.predecessors[scored]] / temperature).log_softmax(-1)
    found = decoder(forest, scored=scored, temperature=temperature, entropies=True)
    expected = log_p.gather(1, forest.tokens[scored, None]).squeeze(1), -(log_p.exp() * log_p).sum(-1)
    parts = torch.cat([found.logps, found.entropies])
    assert_agree(parts, torch.cat(expected), list(decoder.parameters()), rtol=2e-5)


def test_whoever_wraps_forward_sees_all_that_reads_parameters() -> None:
    """As sharding does: the weights are there while `forward` runs, and gone before and after."""
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    scored = _all_scored(forest)
    actor = tiny_decoder(0, 5)
    expected = actor.logps(forest, scored), actor(forest, scored=scored, entropies=True)
    weights = {name: parameter.detach().clone() for name, parameter in actor.named_parameters()}

    def gather(*_: object) -> None:
        for name, parameter in actor.named_parameters():
            parameter.data.copy_(weights[name])

    def free(*_: object) -> None:
        for parameter in actor.parameters():
            parameter.data.fill_(torch.nan)

    free()
    actor.register_forward_pre_hook(gather)
    actor.register_forward_hook(free)
    assert torch.equal(actor.logps(forest, scored), expected[0])
    found = actor(forest, scored=scored, entropies=True)
    for part, of_expected in zip(found, expected[1], strict=True):
        assert torch.equal(part, of_expected)


def test_a_sequence_longer_than_the_learned_positions_is_refused() -> None:
    decoder = Decoder(replace(TINY, positions="learned", max_positions=4))
    decoder(Forest.from_segments([([1, 2, 3], -1), ([4], 0), ([5], 0)]))
    with pytest.raises(ValueError, match="5 tokens is longer than the 4 positions"):
        decoder(Forest.from_segments([([1, 2, 3], -1), ([4, 5], 0)]))


def test_learned_positions_restart_in_every_tree() -> None:
    decoder = Decoder(replace(TINY, positions="learned", max_positions=4))
    twice = decoder(Forest.from_segments([([1, 2, 3], -1), ([1, 2, 3], -1)]))
    torch.testing.assert_close(twice[:3], twice[3:])


def test_the_first_token_of_a_root_cannot_be_scored() -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3]])
    with pytest.raises(ValueError, match="no token comes before"):
        Decoder(TINY).logps(forest, torch.tensor([0, 1]))


def test_bfloat16_products_stay_close_and_give_float32_gradients() -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    scored = _all_scored(forest)
    decoder = Decoder(TINY)
    expected = decoder.logps(forest, scored)
    gradients = torch.autograd.grad(expected.sum(), list(decoder.parameters()))
    decoder.set_compute_dtype(torch.bfloat16)
    found = decoder.logps(forest, scored)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)
    for a, b in zip(torch.autograd.grad(found.sum(), list(decoder.parameters())), gradients, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() <= 0.1 * b.norm() + 1e-3


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_are_float32_products_of_the_hidden_states_in_any_compute_dtype(tied: bool, packed: bool) -> None:
    decoder = Decoder(replace(TINY, tie_embeddings=tied), compute_dtype=torch.bfloat16).eval()
    decoder.output_projection.weight.data.mul_(100)
    hidden = torch.randn(5, TINY.d_model, generator=torch.Generator().manual_seed(0))
    expected = hidden.double() @ decoder.output_projection.weight.double().t()
    with torch.no_grad():
        if packed:
            decoder.pack(5)
        found = decoder.logits(hidden)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [TINY, replace(TINY, positions="learned", norm="layer", qkv_bias=True)])
def test_frozen_layers_stay_and_the_others_get_the_same_gradient(config: DecoderConfig) -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    decoder = Decoder(config)
    decoder.logps(forest, _all_scored(forest)).sum().backward()
    expected = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    decoder.zero_grad()
    decoder.freeze_layers(1)
    decoder.logps(forest, _all_scored(forest)).sum().backward()
    for name, parameter in decoder.named_parameters():
        if name.startswith(("embedding", "position_embedding", "blocks.0.")):
            assert parameter.grad is None
        else:
            assert torch.equal(parameter.grad, expected[name]), name
    with pytest.raises(ValueError, match="at least one must train"):
        decoder.freeze_layers(2)
