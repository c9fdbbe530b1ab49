"""One rollout: groups of completions with their rewards, and how it lies on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from burnish.errors import BurnishError
from burnish.kept import DamagedError, open_tensors, read_facts, write_tensors


@dataclass(frozen=True, eq=False)
class Rollout:
    """Completions group by group: those of group g are the numbers `g * group_size` and following.

    tasks, prompts: of each group, the number of its task and the tokens of its prompt.
    answers: tokens of each completion, with the stop token that the model ended it with.
    finished: bool `[n]`, False where a completion was cut at `max_new_tokens`.
    rewards: float32 `[n_rewards, n]`, unweighted, in the order of `weights`, which has their names; NaN where a judge
        says nothing of a completion.
    columns: one float32 tensor `[len(answer)]` for each completion, such as `old_logps`.
    n_sampled: groups that were sampled to get these.
    """

    tasks: list[int]
    prompts: list[list[int]]
    answers: list[list[int]]
    finished: Tensor
    rewards: Tensor
    weights: Mapping[str, float]
    columns: Mapping[str, list[Tensor]] = field(default_factory=dict)
    n_sampled: int = 0

    @property
    def group_size(self) -> int:
        return len(self.answers) // max(1, len(self.tasks))

    @cached_property
    def totals(self) -> Tensor:
        """The weighted sum of the rewards: `[groups, group_size]`."""
        weights = torch.tensor(list(self.weights.values()))
        return (weights[:, None] * self.rewards).nansum(0).view(len(self.tasks), -1)

    @cached_property
    def varies(self) -> Tensor:
        """Whether a group's completions earned different rewards: bool `[groups]`."""
        return self.totals.amax(1) != self.totals.amin(1)

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of each completion: int64 `[n]`."""
        return torch.tensor([len(answer) for answer in self.answers])

    def sequence(self, number: int) -> list[int]:
        """Prompt and completion."""
        return self.prompts[number // self.group_size] + self.answers[number]

    def mask(self, number: int) -> list[bool]:
        """True at the tokens of `sequence` that belong to the completion."""
        return [False] * len(self.prompts[number // self.group_size]) + [True] * len(self.answers[number])

    def take(self, groups: Sequence[int]) -> "Rollout":
        """Some of the groups, without columns."""
        numbers = [group * self.group_size + place for group in groups for place in range(self.group_size)]
        return Rollout(
            [self.tasks[group] for group in groups],
            [self.prompts[group] for group in groups],
            [self.answers[number] for number in numbers],
            self.finished[numbers],
            self.rewards[:, numbers],
            self.weights,
        )

    def __add__(self, other: "Rollout") -> "Rollout":
        return Rollout(
            self.tasks + other.tasks,
            self.prompts + other.prompts,
            self.answers + other.answers,
            torch.cat([self.finished, other.finished]),
            torch.cat([self.rewards, other.rewards], dim=1),
            self.weights,
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
        "lengths": rollout.lengths,
        "finished": rollout.finished,
        "rewards": rollout.rewards.contiguous(),
        **{f"column.{name}": torch.cat(values) for name, values in rollout.columns.items()},
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
            tasks = tensors["tasks"].tolist()
            return Rollout(
                tasks=tasks,
                prompts=[prompts[task] for task in tasks],
                answers=[part.tolist() for part in tensors["tokens"].split(sizes)],
                finished=tensors["finished"],
                rewards=tensors["rewards"],
                weights=weights,
                columns={
                    name.removeprefix("column."): list(values.split(sizes))
                    for name, values in tensors.items()
                    if name.startswith("column.")
                },
                n_sampled=kept.facts["n_sampled"],
            )
    except DamagedError as error:
        reason = str(error).removeprefix(f"{file}: ")
        raise BurnishError(
            f"{file}: the saved rollout cannot be read ({reason}); delete it to sample it again"
        ) from error
