"""One forward gives what separate models over single sequences give, and what is frozen is stored once."""

from collections.abc import Iterable

import pytest
import torch
from agreement import assert_agree
from torch import Tensor, nn

from burnish.datasets.batches import Batch
from burnish.forest import Forest
from burnish.nn.actor_critic import ActorCritic, CriticKind, ReferencePolicy, make_critic, sharing_copy
from burnish.nn.decoder import Decoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.scalar import ScalarModel
from tiny_models import tiny_decoder

KINDS: list[CriticKind] = ["head", "network"]
PROMPTS = [list(range(20)), list(range(20)), [5, 6, 7]]
ANSWERS = [[30, 31, 32], [33, 34], [40, 41, 42, 43, 2]]


def _batch() -> Batch:
    pairs = list(zip(PROMPTS, ANSWERS, strict=True))
    return Batch.from_rows(
        [prompt + answer for prompt, answer in pairs],
        [[False] * len(prompt) + [True] * len(answer) for prompt, answer in pairs],
    )


def _separately(actor: Decoder, critic: ScalarModel, temperature: float) -> list[Tensor]:
    """Log-probabilities, values and entropies, one sequence at a time, each model by itself."""
    found: list[list[Tensor]] = [[], [], []]
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        sequence = torch.tensor(prompt + answer)
        forest = Forest(sequence, (len(sequence),), (-1,))
        before = slice(len(prompt) - 1, -1)
        log_p = (actor.logits(actor(forest)) / temperature).log_softmax(-1)[before]
        found[0].append(log_p.gather(1, torch.tensor(answer)[:, None]).squeeze(1))
        found[1].append((critic.decoder(forest) @ critic.score.T).squeeze(1)[before])
        found[2].append(-(log_p.exp() * log_p).sum(-1))
    return [torch.cat(parts) for parts in found]


def _bytes(modules: Iterable[nn.Module]) -> int:
    """Memory of all parameters, each storage counted once."""
    storages = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for m in modules for p in m.parameters()}
    return sum(storages.values())


def _change(parameters: Iterable[Tensor]) -> None:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("entropies", "temperature"), [(True, 1.0), (False, 1.0), (True, 0.7)])
def test_one_forward_equals_separate_models(kind: CriticKind, entropies: bool, temperature: float) -> None:
    actor = tiny_decoder(0, 5)
    critic = ScalarModel(actor if kind == "head" else tiny_decoder(1, 5), seed=3)
    model, batch = ActorCritic(actor, critic, kl_coef=0.1, temperature=temperature), _batch()
    found = model(batch.forest, batch.scored, entropies=entropies)
    expected = _separately(actor, critic, temperature)
    assert (found.entropies is not None) == entropies
    parts = [found.logps, found.values, *([found.entropies] if entropies else [])]
    assert_agree(
        torch.cat([part[batch.entries] for part in parts]),
        torch.cat(expected[: len(parts)]),
        list(model.parameters()),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_critic_values_every_state_zero_and_can_learn(kind: CriticKind) -> None:
    actor = tiny_decoder(0, 5)
    critic, batch = make_critic(actor, kind), _batch()
    values = ActorCritic(actor, critic, kl_coef=0.1)(batch.forest, batch.scored).values
    assert not values.any()
    (gradient,) = torch.autograd.grad(values.sum(), [critic.score])
    assert gradient.all()


def test_a_network_of_its_own_leaves_the_policy_alone() -> None:
    actor = tiny_decoder(0, 5)
    critic, batch = make_critic(actor, "network"), _batch()
    _change([critic.score])
    values = ActorCritic(actor, critic, kl_coef=0.1)(batch.forest, batch.scored).values
    gradients = torch.autograd.grad(values.sum(), list(actor.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_adapters_of_actor_and_critic_and_the_reference_stand_on_one_base() -> None:
    actor = tiny_decoder(0, 5)
    base = _bytes([actor])
    add_lora(actor, LoraConfig(rank=2), seed=0)
    adapters = _bytes([actor]) - base
    model = ActorCritic(actor, make_critic(actor, "network"), kl_coef=0.1)
    reference = ReferencePolicy(actor)
    ours, theirs = dict(actor.named_parameters()), dict(model.critic.decoder.named_parameters())
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        assert (parameter.data_ptr() == theirs[name].data_ptr()) == ("lora" not in name), name
    with reference.decoder() as decoder:
        assert _bytes([model, decoder]) == base + 2 * adapters + model.critic.score.nbytes
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        "critic.score",
        *(f"{of}.{name}" for of in ("actor", "critic.decoder") for name in ours if "lora" in name),
    }


@pytest.mark.parametrize("lora", [True, False])
def test_the_reference_stays_the_policy_that_training_began_with(lora: bool) -> None:
    actor, batch = tiny_decoder(0, 5), _batch()
    before = actor.logps(batch.forest, batch.scored).detach()
    if lora:
        add_lora(actor, LoraConfig(rank=2, dropout=0.5), seed=0)
    reference = ReferencePolicy(actor)
    _change(p for p in actor.parameters() if p.requires_grad)
    after = actor.eval().logps(batch.forest, batch.scored)
    actor.train()
    with reference.decoder() as decoder:
        assert torch.equal(decoder.logps(batch.forest, batch.scored), before)
    assert torch.equal(actor.eval().logps(batch.forest, batch.scored), after), "the adapters are back"
    assert not torch.allclose(after, before, atol=1e-2)


def test_a_copy_shares_the_frozen_layers_and_nothing_else() -> None:
    actor = tiny_decoder(0, 5)
    actor.freeze_layers(1)
    copied = dict(sharing_copy(actor).named_parameters())
    for name, parameter in actor.named_parameters():
        assert torch.equal(parameter, copied[name])
        assert (parameter.data_ptr() == copied[name].data_ptr()) == (not parameter.requires_grad), name
    assert any(p.requires_grad for p in actor.parameters())
    assert not all(p.requires_grad for p in actor.parameters())


def test_a_copy_sees_the_casts_of_its_own_weights() -> None:
    actor, batch = tiny_decoder(0, 5), _batch()
    actor.set_compute_dtype(torch.bfloat16)
    actor.freeze_layers(1)
    before = actor.logps(batch.forest, batch.scored)
    copied = sharing_copy(actor)
    _change(p for p in actor.parameters() if p.requires_grad)
    assert torch.equal(copied.logps(batch.forest, batch.scored), before)
    assert copied.embedding.cast_weight().data_ptr() == actor.embedding.cast_weight().data_ptr()
