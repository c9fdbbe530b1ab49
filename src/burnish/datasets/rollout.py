"""One rollout of an online method: groups of completions and what they earned, its batches, and how it lies on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from burnish.datasets.batches import Batch, micro_batches
from burnish.errors import BurnishError
from burnish.kept import DamagedError, open_tensors, read_facts, write_tensors

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Rollout:
    """Completions group by group: those of group g are the numbers `g * group_size` and following.

    tasks, prompts: of each group, the number of its task and the tokens of its prompt.
    answers: tokens of each completion, with the stop token that the model ended it with.
    finished: bool `[n]`, False where a completion was cut at `max_new_tokens`.
    rewards: float32 `[n_rewards, n]`, unweighted, in the order of `weights`, which has their names; NaN where a judge
        says nothing of a completion.
    columns: one float32 tensor `[drawn tokens]` for each completion, such as `old_logps`. `token_scores`, there where a
        reward scores single tokens, is the weighted sum of what they earned, NaN at tokens that none has scored.
    by_token: bool `[n_rewards, n]`, rewards that are in `token_scores`: their number in `rewards` only sums it up.
    n_sampled: groups that were sampled to get these.
    marks: bool `[n]` by name, what is so of some completions, such as `accepted`.
    masks: of each completion one entry a token, whether the policy has drawn it; what a tool returned it has not, so
        that nothing of it is learned, and `columns` have no number for it. None: everything was drawn.
    """

    tasks: list[int]
    prompts: list[list[int]]
    answers: list[list[int]]
    finished: Tensor
    rewards: Tensor
    weights: Mapping[str, float]
    columns: Mapping[str, list[Tensor]] = field(default_factory=dict)
    n_sampled: int = 0
    by_token: Tensor | None = None
    marks: Mapping[str, Tensor] = field(default_factory=dict)
    masks: list[list[bool]] | None = None

    @property
    def group_size(self) -> int:
        return len(self.answers) // max(1, len(self.tasks))

    @cached_property
    def totals(self) -> Tensor:
        """The weighted sum of the rewards: `[groups, group_size]`."""
        return self._weighted_sum(self.rewards)

    @cached_property
    def outcomes(self) -> Tensor:
        """The same of the rewards that score completions as a whole."""
        return self.totals if self.by_token is None else self._weighted_sum(self.rewards.masked_fill(self.by_token, 0))

    @cached_property
    def earned(self) -> Tensor:
        """What completions are to earn more of: `outcomes` and all that their tokens have scored."""
        if "token_scores" not in self.columns:
            return self.outcomes
        of_tokens = torch.stack([scores.nansum() for scores in self.columns["token_scores"]])
        return self.outcomes + of_tokens.view_as(self.outcomes)

    def _weighted_sum(self, rewards: Tensor) -> Tensor:
        weights = torch.tensor(list(self.weights.values()))
        return (weights[:, None] * rewards).nansum(0).view(len(self.tasks), -1)

    @cached_property
    def varies(self) -> Tensor:
        """Whether a group's completions, or their tokens, earned different rewards: bool `[groups]`."""
        varies = self.totals.amax(1) != self.totals.amin(1)
        if "token_scores" in self.columns:
            scores = (torch.cat(list(group)) for group in self.groups(self.columns["token_scores"]))
            varies |= torch.tensor([len(one[~one.isnan()].unique()) > 1 for one in scores])
        return varies

    def groups(self, values: Sequence[T]) -> list[Sequence[T]]:
        """The parts, group by group, of what has a value for each completion."""
        return [values[start : start + self.group_size] for start in range(0, len(values), self.group_size)]

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each completion that the policy has drawn: int64 `[n]`."""
        drawn = [len(answer) for answer in self.answers] if self.masks is None else [sum(mask) for mask in self.masks]
        return torch.tensor(drawn)

    def sequence(self, number: int) -> list[int]:
        """Prompt and completion."""
        return self.prompts[number // self.group_size] + self.answers[number]

    def mask(self, number: int) -> list[bool]:
        """True at the tokens of `sequence` that the policy has drawn."""
        drawn = [True] * len(self.answers[number]) if self.masks is None else self.masks[number]
        return [False] * len(self.prompts[number // self.group_size]) + drawn

    def take(self, groups: Sequence[int]) -> "Rollout":
        """Some of the groups."""
        numbers = [group * self.group_size + place for group in groups for place in range(self.group_size)]
        return Rollout(
            [self.tasks[group] for group in groups],
            [self.prompts[group] for group in groups],
            [self.answers[number] for number in numbers],
            self.finished[numbers],
            self.rewards[:, numbers],
            self.weights,
            {name: [values[number] for number in numbers] for name, values in self.columns.items()},
            by_token=None if self.by_token is None else self.by_token[:, numbers],
            marks={name: values[numbers] for name, values in self.marks.items()},
            masks=None if self.masks is None else [self.masks[number] for number in numbers],
        )

    def __add__(self, other: "Rollout") -> "Rollout":
        parts = (self, other)
        # Tokens may have been scored in one of the two alone.
        names = {name for part in parts for name in part.columns}
        columns = {
            name: [
                value
                for part in parts
                for value in part.columns.get(name, [torch.full((len(a),), torch.nan) for a in part.answers])
            ]
            for name in names
        }
        by_token = [
            torch.zeros_like(part.rewards, dtype=torch.bool) if part.by_token is None else part.by_token
            for part in parts
        ]
        return Rollout(
            self.tasks + other.tasks,
            self.prompts + other.prompts,
            self.answers + other.answers,
            torch.cat([self.finished, other.finished]),
            torch.cat([self.rewards, other.rewards], dim=1),
            self.weights,
            columns,
            by_token=torch.cat(by_token, dim=1) if names else None,
            marks={name: torch.cat([part.marks[name] for part in parts]) for name in self.marks},
            masks=None if self.masks is None or other.masks is None else self.masks + other.masks,
        )

    def metrics(self) -> dict[str, float]:
        """What was earned, under TRL's names; deviations are those of a sample (n - 1)."""
        lengths = self.lengths.float()
        values = {
            "reward": self.totals.mean(),
            "reward_std": _deviation(self.totals),
            "frac_reward_zero_std": 1 - self.varies.float().mean(),
            "completions/mean_length": lengths.mean(),
            "completions/min_length": lengths.min(),
            "completions/max_length": lengths.max(),
            "completions/clipped_ratio": 1 - self.finished.float().mean(),
        }
        for name, of_all in zip(self.weights, self.rewards, strict=True):
            rewards = of_all[~of_all.isnan()]
            if not len(rewards):
                continue
            values |= {f"rewards/{name}/mean": rewards.mean(), f"rewards/{name}/std": _deviation(rewards)}
        return {name: value.item() for name, value in values.items()} | {"sampled_groups": self.n_sampled}


def _deviation(values: Tensor) -> Tensor:
    """The standard deviation of a sample; 0 for a single value."""
    return values.std() if values.numel() > 1 else values.new_zeros(())


def save_rollout(file: Path, rollout: Rollout, *, identity: str) -> None:
    """Write all but the prompts, which the tasks give."""
    tensors = {
        "tasks": torch.tensor(rollout.tasks),
        "tokens": torch.tensor([token for answer in rollout.answers for token in answer]),
        "lengths": torch.tensor([len(answer) for answer in rollout.answers]),
        "finished": rollout.finished,
        "rewards": rollout.rewards.contiguous(),
        **({} if rollout.masks is None else {"masks": torch.tensor([one for mask in rollout.masks for one in mask])}),
        **({} if rollout.by_token is None else {"by_token": rollout.by_token.contiguous()}),
        **{f"column.{name}": torch.cat(values) for name, values in rollout.columns.items()},
        **{f"mark.{name}": values for name, values in rollout.marks.items()},
    }
    facts = {"identity": identity, "n_sampled": rollout.n_sampled, "rewards": list(rollout.weights)}
    write_tensors(file, tensors, facts)


def load_rollout(
    file: Path, *, prompts: Sequence[list[int]], weights: Mapping[str, float], identity: str
) -> Rollout | None:
    """A saved rollout; None where there is none of this identity. Raises BurnishError for a damaged file."""
    if not file.exists():
        return None
    try:
        if read_facts(file).get("identity") != identity:
            return None
        with open_tensors(file) as kept:
            tensors = {name: kept[name] for name in kept.names}
            sizes = tensors["lengths"].tolist()
            masks = None if "masks" not in tensors else [part.tolist() for part in tensors["masks"].split(sizes)]
            drawn = sizes if masks is None else list(map(sum, masks))
            tasks = tensors["tasks"].tolist()
            return Rollout(
                tasks=tasks,
                prompts=[prompts[task] for task in tasks],
                answers=[part.tolist() for part in tensors["tokens"].split(sizes)],
                finished=tensors["finished"],
                rewards=tensors["rewards"],
                weights=weights,
                columns={
                    name.removeprefix("column."): list(values.split(drawn))
                    for name, values in tensors.items()
                    if name.startswith("column.")
                },
                n_sampled=kept.facts["n_sampled"],
                by_token=tensors.get("by_token"),
                marks={
                    name.removeprefix("mark."): values for name, values in tensors.items() if name.startswith("mark.")
                },
                masks=masks,
            )
    except DamagedError as error:
        reason = str(error).removeprefix(f"{file}: ")
        raise BurnishError(
            f"{file}: the saved rollout cannot be read ({reason}); delete it to sample it again"
        ) from error


def rollout_batches(
    rollout: Rollout,
    numbers: Sequence[int],
    *,
    micro_batch_tokens: int,
    rows: Mapping[str, Tensor] | None = None,
    tokens: Mapping[str, Sequence[Tensor]] | None = None,
    stored: bool = True,
) -> list[tuple[list[int], Batch]]:
    """Micro-batches of the completions `numbers`, each with the numbers of its rows.

    rows: further columns with one value, tokens: with one tensor `[drawn tokens]` for each completion of the
    whole rollout; they become `[n_rows]` and `[n_entries]`. stored: whether the rollout's own columns are taken along.
    """
    token_columns = {**(rollout.columns if stored else {}), **(tokens or {})}
    units = _units(rollout, numbers, micro_batch_tokens)
    sequences = [[rollout.sequence(number) for number in unit] for unit in units]
    batches = []
    for chosen in micro_batches(sequences, micro_batch_tokens):
        members = [number for unit in chosen for number in units[unit]]
        columns = {name: values[members] for name, values in (rows or {}).items()}
        columns |= {name: torch.cat([values[i] for i in members]) for name, values in token_columns.items()}
        batch = Batch.from_rows(
            [sequence for unit in chosen for sequence in sequences[unit]],
            [rollout.mask(number) for number in members],
            columns=columns,
        )
        batches.append((members, batch))
    return batches


def _units(rollout: Rollout, numbers: Sequence[int], micro_batch_tokens: int) -> list[list[int]]:
    """The completions of each group together, in parts where a group is more than a micro-batch."""
    units: list[list[int]] = []
    group, room = -1, 0
    for number in numbers:
        size = len(rollout.answers[number])
        if number // rollout.group_size != group or size > room:
            group = number // rollout.group_size
            units.append([])
            room = micro_batch_tokens - len(rollout.prompts[group])
        units[-1].append(number)
        room -= size
    return units
