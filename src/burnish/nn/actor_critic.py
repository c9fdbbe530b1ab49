"""A policy and what PPO needs beside it: a critic, a frozen reference, and the numbers that change with the training.

Notable choices:
- a critic is a `ScalarModel`: around the actor itself, whose hidden states it then reads, or around a decoder of its
  own;
- what does not train is stored once: the reference and the critic are copies that share every frozen parameter with
  the actor. With adapters that is the whole base, and the reference is the actor without them;
- the coefficient of the KL penalty and the moments of the scores are buffers: they are part of the resumable state.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.nn.linear import Linear
from burnish.nn.lora import adapters_disabled, lora_config
from burnish.nn.scalar import ScalarModel

CriticKind = Literal["head", "network"]


class ActorCriticOutputs(NamedTuple):
    """Of each scored token: log π_θ(token | before), V_ψ(before), and where asked for the entropy of π_θ; `[n]`."""

    logps: Tensor
    values: Tensor
    entropies: Tensor | None


class ActorCritic(nn.Module):
    """The policy π_θ with a critic V_ψ, trained as one model.

    critic: a `ScalarModel` of `actor` (`head`: one forward pass serves both) or of another decoder (`network`).
    kl_coef: the coefficient β that training begins with.
    temperature: π_θ is the actor at this temperature, the policy that samples at it.

    Buffers: `kl_coef` is β for the rollout that is being learned from, `next_kl_coef` for the one after it;
    `score_moments` are count, mean and sum of squared deviations of all scores seen. All float64.
    """

    kl_coef: Tensor
    next_kl_coef: Tensor
    score_moments: Tensor

    def __init__(self, actor: Decoder, critic: ScalarModel, *, kl_coef: float, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature
        self.actor, self.critic = actor, critic
        self.register_buffer("kl_coef", torch.tensor(kl_coef, dtype=torch.float64))
        self.register_buffer("next_kl_coef", torch.tensor(kl_coef, dtype=torch.float64))
        self.register_buffer("score_moments", torch.zeros(3, dtype=torch.float64))

    @property
    def device(self) -> torch.device:
        return self.actor.device

    def forward(self, forest: Forest, scored: Tensor, *, entropies: bool = False) -> ActorCriticOutputs:
        """Evaluate the tokens `scored` `[n]`. The value is that of the state before the token: at its predecessor.

        Raises ValueError where a root's first token is scored: nothing comes before it.
        """
        logps, spread, hidden = self.actor(forest, scored=scored, temperature=self.temperature, entropies=entropies)
        before = forest.predecessors[scored]
        if self.critic.decoder is self.actor:
            values = self.critic.scalars(hidden.index_select(0, before))
        else:
            values = self.critic(forest, before)
        return ActorCriticOutputs(logps, values, spread)


def make_critic(actor: Decoder, kind: CriticKind) -> ScalarModel:
    """A critic that begins as the actor does, frozen parameters shared, and values every state zero."""
    critic = ScalarModel(actor if kind == "head" else sharing_copy(actor))
    nn.init.zeros_(critic.score)
    return critic


def sharing_copy(decoder: Decoder) -> Decoder:
    """A decoder with parameters of its own where those of `decoder` train, and with the very same where they do not."""
    shared: dict[int, object] = {id(p): p for p in decoder.parameters() if not p.requires_grad}
    for module in decoder.modules():
        # With a projection goes the cast that it keeps of its weight.
        if isinstance(module, Linear) and not any(p.requires_grad for p in module.parameters()):
            shared[id(module)] = module
    return copy.deepcopy(decoder, shared)


class ReferencePolicy:
    """The policy before training, π_ref: the actor without its adapters, or else a copy that shares what is frozen.

    To be made before anything has trained.
    """

    def __init__(self, actor: Decoder) -> None:
        self._actor = actor
        self._copy = None if lora_config(actor) else sharing_copy(actor).requires_grad_(False).eval()

    @contextmanager
    def decoder(self) -> Iterator[Decoder]:
        """The reference as a decoder; within the block the actor must not be used otherwise."""
        if self._copy is not None:
            yield self._copy
        else:
            with adapters_disabled(self._actor):
                yield self._actor
