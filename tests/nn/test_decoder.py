"""The decoder over a forest equals a naive one over sequences; precision and chunking change nothing that matters."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings

from burnish.forest import Forest
from burnish.nn import log_probabilities as module
from burnish.nn.attention import reference
from burnish.nn.decoder import Decoder
from burnish.nn.log_probabilities import log_probabilities
from forests import forests, leaves
from tiny_models import TINY


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


def test_initial_weights_are_a_function_of_the_seed() -> None:
    one, two = Decoder(TINY), Decoder(TINY)
    two.initialize(seed=1)
    assert not torch.equal(one.embedding.weight, two.embedding.weight)
    two.initialize(seed=0)
    assert torch.equal(one.embedding.weight, two.embedding.weight)


def test_the_first_token_of_a_root_cannot_be_scored() -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3]])
    with pytest.raises(ValueError, match="no token comes before"):
        Decoder(TINY).logps(forest, torch.tensor([0, 1]))


def test_chunked_log_probabilities_equal_log_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(20, 6, generator=generator, dtype=torch.float32).requires_grad_()
    weight = torch.randn(30, 6, generator=generator).requires_grad_()
    targets = torch.randint(30, (20,), generator=generator)
    weights = torch.randn(20, generator=generator)
    found = log_probabilities(hidden, weight, weight.detach(), targets)
    expected = (hidden @ weight.t()).log_softmax(-1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(found, expected)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), [hidden, weight]),
        torch.autograd.grad((expected * weights).sum(), [hidden, weight]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


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


def test_the_cast_weight_follows_the_optimizer() -> None:
    decoder = Decoder(TINY, compute_dtype=torch.bfloat16)
    linear = decoder.blocks[0].attention.q
    before = linear.cast_weight()
    assert linear.cast_weight() is before, "an unchanged weight is cast once"
    torch.optim.SGD([linear.weight], lr=1.0).zero_grad()
    with torch.no_grad():
        linear.weight.add_(1.0)
    assert torch.equal(linear.cast_weight(), linear.weight.to(torch.bfloat16))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n_kv_heads": 3}, "multiple of n_kv_heads"), ({"head_dim": 7}, "even"), ({"n_layers": 0}, "at least 1")],
)
def test_an_impossible_shape_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TINY, **change)


def test_frozen_layers_stay_and_the_others_get_the_same_gradient() -> None:
    forest, _ = Forest.from_sequences([[1, 2, 3, 4], [1, 2, 9, 9, 9]], min_shared=2)
    decoder = Decoder(TINY)
    decoder.logps(forest, _all_scored(forest)).sum().backward()
    expected = {name: parameter.grad for name, parameter in decoder.named_parameters()}
    decoder.zero_grad()
    decoder.freeze_layers(1)
    decoder.logps(forest, _all_scored(forest)).sum().backward()
    for name, parameter in decoder.named_parameters():
        if name.startswith(("embedding", "blocks.0.")):
            assert parameter.grad is None
        else:
            assert torch.equal(parameter.grad, expected[name]), name
    with pytest.raises(ValueError, match="at least one must train"):
        decoder.freeze_layers(2)
