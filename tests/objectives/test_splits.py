"""Every objective says the same of a step, in loss, gradient and metrics, however the step is split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import step_of
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.nn.actor_critic import ActorCriticOutputs
from burnish.nn.divergence import Divergences
from burnish.nn.log_probabilities import Scores
from burnish.objectives.cpo import CPO
from burnish.objectives.distillation import Distillation
from burnish.objectives.dpo import DPO
from burnish.objectives.grpo import GRPO
from burnish.objectives.kto import KTO
from burnish.objectives.language_model import LanguageModel
from burnish.objectives.objective import Objective, step_counts
from burnish.objectives.orpo import ORPO
from burnish.objectives.ppo import PPO
from burnish.objectives.process_reward import LabelledTokens
from burnish.objectives.reward_model import RewardModelling
from burnish.objectives.rft import RFT
from burnish.objectives.simpo import SimPO
from burnish.objectives.verifier import JointVerifier, Verified
from tiny_models import tiny_decoder

VOCABULARY = 50
UNITS = 6
"""What is never split: a conversation, a pair, a ranked list, a completion."""


@dataclass(frozen=True)
class Unit:
    """The sequences that stay together, their scored parts, and columns of one value an entry, a row, or a list."""

    sequences: list[list[int]]
    masks: list[list[bool]]
    columns: dict[str, Tensor]


class Table(torch.nn.Module):
    """A model that says something differentiable of a token by itself: of what an objective reads, nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, VOCABULARY, generator=torch.Generator().manual_seed(1)))

    def logps(self, batch: Batch) -> Tensor:
        return -torch.nn.functional.softplus(self.weight[0, batch.forest.tokens[batch.scored]]) - 0.1

    def scalars(self, batch: Batch) -> Tensor:
        return self.weight[1, batch.forest.tokens[batch.scored]]

    def scores(self, batch: Batch) -> Scores:
        return Scores(self.logps(batch), self.weight[2, batch.forest.tokens[batch.scored]].square())

    def divergences(self, batch: Batch) -> Divergences:
        scores = self.scores(batch)
        return Divergences(-scores.logps[batch.entries], scores.entropies[batch.entries])

    def verified(self, batch: Batch) -> Verified:
        return Verified(self.scalars(batch), self.logps(batch))

    def evaluation(self, batch: Batch) -> ActorCriticOutputs:
        return ActorCriticOutputs(self.logps(batch), self.scalars(batch), self.scores(batch).entropies)


def make_units(rows: Sequence[int], *, last_only: bool = False) -> list[Unit]:
    """`rows[i]` answers in unit i, of ragged lengths, behind prompts that some share, with every column."""
    draw = torch.Generator().manual_seed(7)
    units = []
    for number, n_rows in enumerate(rows):
        prompt = list(range(20)) if number % 3 == 0 else [number, number + 1]
        answers = [
            [20 + (7 * number + 3 * row + i) % 30 for i in range(1 + (number + 2 * row) % 5)] for row in range(n_rows)
        ]
        scored = [1 if last_only else len(answer) for answer in answers]
        n_entries = sum(scored)
        entries = {
            name: torch.randn(n_entries, generator=draw)
            for name in ("reference_logps", "old_logps", "old_values", "returns", "entry_advantages")
        }
        entries["old_logps"] = entries["old_logps"] / 5 - 1
        entries["labels"] = (entries["returns"] > 0).float()
        of_rows = {
            "row_advantages": torch.randn(n_rows, generator=draw),
            "desired": torch.rand(n_rows, generator=draw) < 0.6,
            "counted": torch.rand(n_rows, generator=draw) < 0.7,
            "accepted": torch.tensor([number % 3 > 0] * n_rows),
        }
        of_lists = {"list_sizes": torch.tensor([n_rows]), "margins": torch.rand(1, generator=draw)}
        masks = [[False] * (len(prompt) + len(a) - n) + [True] * n for a, n in zip(answers, scored, strict=True)]
        units.append(Unit([prompt + a for a in answers], masks, {**entries, **of_rows, **of_lists}))
    return units


SINGLES, PAIRS = make_units([1] * UNITS), make_units([2] * UNITS)
LISTS = make_units([2, 3, 2, 4, 3, 2], last_only=True)
STEP = {"kl": torch.tensor(0.3)}
AVERAGES: tuple[Literal["labels", "examples"], ...] = ("labels", "examples")

Case = tuple[Objective[Any], list[Unit], Callable[[Table, Batch], Any]]
CASES: dict[str, Case] = {
    "language model": (LanguageModel(), SINGLES, Table.logps),
    "language model, examples": (LanguageModel("examples"), SINGLES, Table.logps),
    **{f"dpo, {kind}": (DPO(0.3, kind), PAIRS, Table.logps) for kind in ("sigmoid", "hinge", "ipo")},
    "dpo, robust": (DPO(0.3, "robust", 0.2, rpo_alpha=0.5), PAIRS, Table.logps),
    "dpo, length normalized": (DPO(0.3, length_normalized=True, rpo_alpha=0.5), PAIRS, Table.logps),
    "kto": (KTO(0.3, 0.8, 1.7), SINGLES, Table.logps),
    "distillation": (Distillation(2.0), SINGLES, Table.divergences),
    "orpo": (ORPO(0.4), PAIRS, Table.logps),
    "simpo": (SimPO(2.0, 0.8), PAIRS, Table.logps),
    "cpo": (CPO(0.3, 0.6, 0.2), PAIRS, Table.logps),
    "reward model": (RewardModelling("bradley_terry", 0.1), LISTS, Table.scalars),
    **{f"labelled tokens, {over}": (LabelledTokens(over), SINGLES, Table.scalars) for over in AVERAGES},
    **{f"joint verifier, {over}": (JointVerifier(0.4, over), SINGLES, Table.verified) for over in AVERAGES},
    "reward model, plackett_luce": (RewardModelling("plackett_luce", 0.1), LISTS, Table.scalars),
    **{
        f"grpo, {kind}, {level}": (
            GRPO(0.2, importance_sampling_level=level, loss_type=kind, max_completion_length=6),
            SINGLES,
            Table.scores,
        )
        for kind in ("grpo", "bnpo", "dapo", "dr_grpo")
        for level in ("token", "sequence", "whole_sequence")
    },
    **{f"rft, {kind}": (RFT(kind), SINGLES, Table.logps) for kind in ("samples", "examples", "tokens")},
    "ppo": (PPO(vf_coef=0.7, entropy_coef=0.05), SINGLES, Table.evaluation),
}


def batch_of(objective: Objective[Any], units: Sequence[Unit]) -> Batch:
    columns = {name: torch.cat([unit.columns[name] for unit in units]) for name in units[0].columns}
    columns["advantages"] = columns.pop("entry_advantages" if isinstance(objective, PPO) else "row_advantages")
    sequences = [sequence for unit in units for sequence in unit.sequences]
    return Batch.from_rows(sequences, [mask for unit in units for mask in unit.masks], columns=columns | STEP)


def step(name: str, parts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, dict[str, float]]:
    objective, units, outputs = CASES[name]
    model = Table()
    batches = [batch_of(objective, [units[number] for number in part]) for part in parts]
    loss, metrics = step_of(tiny_decoder(), objective, batches, lambda batch: outputs(model, batch))
    (gradient,) = torch.autograd.grad(loss, [model.weight])
    return loss, gradient, metrics


@st.composite
def splits(draw: st.DrawFn) -> list[list[int]]:
    """The units in any order, in any number of parts."""
    order = draw(st.permutations(range(UNITS)))
    cuts = sorted(draw(st.sets(st.integers(1, UNITS - 1))))
    return [list(order[a:b]) for a, b in zip([0, *cuts], [*cuts, UNITS], strict=True)]


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=12)
@given(parts=splits())
def test_how_a_step_is_split_changes_nothing(name: str, parts: list[list[int]]) -> None:
    loss, gradient, metrics = step(name, parts)
    expected_loss, expected_gradient, expected_metrics = step(name, [list(range(UNITS))])
    torch.testing.assert_close(loss, expected_loss)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6)
    assert expected_gradient.norm() > 1e-3
    assert metrics == pytest.approx(expected_metrics, rel=1e-4, abs=1e-6)


def test_a_mean_over_nothing_is_left_out_and_one_that_a_batch_lacks_is_not() -> None:
    objective = KTO(0.3)
    wanted = [
        replace(unit, columns=unit.columns | {"desired": torch.tensor([n == 0])}) for n, unit in enumerate(SINGLES)
    ]
    model = Table()
    found = {}
    for name, parts in {"split": [[0], [1, 2]], "one kind": [[1], [2]]}.items():
        batches = [batch_of(objective, [wanted[number] for number in part]) for part in parts]
        found[name] = step_of(tiny_decoder(), objective, batches, model.logps)[1]
    assert "rewards/margins" in found["split"]
    assert set(found["one kind"]) == {"kl", "rewards/rejected", "logps/rejected"}


@pytest.mark.parametrize("name", CASES)
def test_a_missing_column_is_named_before_the_model_runs(name: str) -> None:
    objective, units, _ = CASES[name]
    whole = batch_of(objective, units)
    for column in objective.reads:
        lacking = replace(whole, columns={key: value for key, value in whole.columns.items() if key != column.name})
        with pytest.raises(ValueError, match=f"the batch has no column '{column.name}', which the objective reads"):
            step_counts(objective, [whole, lacking])


def test_a_column_of_another_length_is_refused() -> None:
    whole = batch_of(DPO(0.1), PAIRS)
    wrong = whole.with_columns(reference_logps=torch.zeros(3))
    with pytest.raises(
        ValueError, match=r"'reference_logps' has the shape \[3\]; expected \[\d+\], a value for each entry"
    ):
        step_counts(DPO(0.1), [wrong])
