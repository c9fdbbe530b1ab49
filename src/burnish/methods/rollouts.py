"""Rollouts of online methods: completions sampled from the policy as it is now, with what they earned.

Notable choices:
- rollout r is a function of (seed, r) and the policy: which prompts, and every draw;
- a rollout is on disk before its first update, each wave of decoding before the next, so a run that is killed goes on
  with the same completions, and a person can read them (`rollouts/00000.jsonl`);
- what the policy and the reference said of the tokens is kept as one number a token, never as logits;
- a group is a prompt and its completions: one segment with children in training as in generation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.rollout import Rollout, load_rollout, rollout_batches, save_rollout
from burnish.errors import BurnishError
from burnish.files import atomic_write_text
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.sampled_groups import Marks, RolloutConfig, metrics_by_group, readable, sample_wave
from burnish.runs.names import ROLLOUTS_FOLDER
from burnish.runs.run import Run

Columns = Callable[[Batch], Mapping[str, Tensor]]
"""Numbers about a batch's scored tokens, `[n_scored]` each, such as `old_logps`, `reference_logps` and `values`."""


class Rollouts:
    """The rollouts of a run, by number; asked for in order, with the policy as the updates before left it.

    columns: computed once for each rollout, without gradients and with the policy in evaluation mode. marks: computed
    of its answers as they are judged. run: its folder receives the readable files and, in `partial/`, the exact ones,
    which only belong to a run of the same key. on_progress: told how many of a rollout's prompts are answered.
    """

    def __init__(
        self,
        policy: Decoder,
        environment: Environment,
        config: RolloutConfig,
        run: Run,
        *,
        columns: Columns | None = None,
        marks: Marks | None = None,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._policy, self._environment = policy, environment
        self._columns, self._marks, self._on_progress = columns, marks, on_progress
        self._folder, self._store = run.folder / ROLLOUTS_FOLDER, run.partial / ROLLOUTS_FOLDER
        self._seed, self._identity = run.seed, run.key
        self.config = replace(config, sampling=replace(config.sampling, stop=environment.tokenizer.stop_ids))
        self._last: tuple[int, Rollout] | None = None

    def __getitem__(self, number: int) -> Rollout:
        if self._last is None or self._last[0] != number:
            self._last = number, self._load(self._file(number)) or self._collect(number)
        return self._last[1]

    def resume(self, number: int, update: int) -> None:
        """Go on with update `update` of a rollout. Raises BurnishError where it is gone after its first update."""
        if update and self._load(self._file(number)) is None:
            raise BurnishError(
                f"{self._file(number)}: the rollout that the training was learning from when it was interrupted is "
                "gone, and the policy of now would sample another; put the file back, or train the stage again with "
                "--from"
            )

    def _load(self, file: Path) -> Rollout | None:
        weights = {reward.name: reward.weight for reward in self._environment.rewards}
        prompts = [prompt.tokens for prompt in self._environment.prompts]
        return load_rollout(file, prompts=prompts, weights=weights, identity=self._identity)

    def _file(self, number: int, *part: int) -> Path:
        """Where a rollout is kept; a part of it by attempt and place."""
        return self._store / f"{'-'.join([f'{number:05}', *map(str, part)])}.safetensors"

    def _collect(self, number: int) -> Rollout:
        # A judge may draw random numbers; dropout must not notice whether a rollout was loaded or made.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            rollout = self._sample_groups(number)
            # Training mode frees the weights that generation has packed.
            self._policy.train().eval()
            rollout = replace(rollout, columns={**rollout.columns, **self._compute_columns(rollout)})
        self._write_readable(number, rollout)
        save_rollout(self._file(number), rollout, identity=self._identity)
        for part in self._store.glob(f"{number:05}-*.safetensors"):
            part.unlink()
        return rollout

    def _sample_groups(self, number: int) -> Rollout:
        """The rollout's groups, those that vary first."""
        config = self.config
        n_tasks = len(self._environment.tasks)
        wanted = chosen_tasks(n_tasks, number, config.prompts, self._seed)
        sampled = self._sample(wanted, [number, 0])
        varied, level = _by_variation(sampled)
        n_sampled = len(sampled.tasks)
        for attempt in range(1, config.dynamic_sampling + 1):
            missing = config.prompts - len(varied.tasks)
            if not missing:
                break
            draw = np.random.default_rng([self._seed, number, attempt])
            further = self._sample(draw.permutation(n_tasks)[:missing].tolist(), [number, attempt])
            n_sampled += len(further.tasks)
            more, flat = _by_variation(further)
            varied, level = varied + more, level + flat
        if config.dynamic_sampling:
            sampled = (varied + level).take(range(len(wanted)))
        return replace(sampled, n_sampled=n_sampled)

    def _sample(self, tasks: Sequence[int], seeds: Sequence[int]) -> Rollout:
        """A group for each of the tasks, rewarded; of several waves, each is on disk before the next."""
        size = max(1, self.config.batch_size // self.config.num_generations)
        if len(tasks) <= size:
            return self._sample_wave(tasks, seeds)
        sampled: Rollout | None = None
        for start in range(0, len(tasks), size):
            seeds_and_place = [*seeds, start // size]
            file = self._file(*seeds_and_place)
            if (wave := self._load(file)) is None:
                wave = self._sample_wave(tasks[start : start + size], seeds_and_place)
                save_rollout(file, wave, identity=self._identity)
            sampled = wave if sampled is None else sampled + wave
            self._on_progress(len(sampled.tasks))
        assert sampled is not None
        return sampled

    def _sample_wave(self, tasks: Sequence[int], seeds: Sequence[int]) -> Rollout:
        seed = int(np.random.SeedSequence([self._seed, *seeds]).generate_state(1)[0])
        return sample_wave(self._policy, self._environment, self.config, tasks, seed, marks=self._marks)

    def _compute_columns(self, rollout: Rollout) -> dict[str, list[Tensor]]:
        found: dict[str, list[Tensor]] = {}
        if self._columns is None:
            return found
        everything = range(len(rollout.answers))
        for numbers, batch in rollout_batches(
            rollout, everything, micro_batch_tokens=self.config.micro_batch_tokens, stored=False
        ):
            sizes = rollout.lengths[numbers].tolist()
            on_device = batch.to(self._policy.device)
            for name, values in self._columns(on_device).items():
                column = found.setdefault(name, [torch.empty(0)] * len(rollout.answers))
                parts = values[on_device.entries].float().cpu().split(sizes)
                for number, part in zip(numbers, parts, strict=True):
                    column[number] = part.clone()
        return found

    def _write_readable(self, number: int, rollout: Rollout) -> None:
        atomic_write_text(self._folder / f"{number:05}.jsonl", readable(rollout, self._environment))


@dataclass
class RolloutSteps:
    """The optimizer steps of a run: so many updates on each rollout.

    updates: the micro-batches of a rollout, by its number, and of its update number `u`, 0 to `steps_per_rollout - 1`.
    group_of: of a task's number its group, by which rewards and lengths are logged apart; None where it has none.
    latest: the step that was asked for last.
    """

    rollouts: Rollouts
    n_rollouts: int
    steps_per_rollout: int
    updates: Callable[[Rollout, int, int], list[Batch]]
    group_of: Callable[[int], str | None] = lambda _: None
    latest: int = -1

    def __len__(self) -> int:
        return self.n_rollouts * self.steps_per_rollout

    def __getitem__(self, step: int) -> list[Batch]:
        self.latest = step
        number, update = divmod(step, self.steps_per_rollout)
        return self.updates(self.rollouts[number], number, update)

    def resume(self, step: int) -> None:
        """Raise BurnishError where the rollout that was being learned from is gone."""
        self.rollouts.resume(*divmod(step, self.steps_per_rollout))

    def metrics(self, step: int) -> dict[str, float]:
        """What the step's rollout earned: `step_metrics` of the training loop."""
        return metrics_by_group(self.rollouts[step // self.steps_per_rollout], self.group_of)


def chosen_tasks(n_tasks: int, number: int, prompts: int, seed: int) -> list[int]:
    """The tasks of rollout `number`: runs through a new permutation of all tasks in every epoch."""
    places = range(number * prompts, (number + 1) * prompts)
    orders = {
        epoch: np.random.default_rng([seed, epoch]).permutation(n_tasks)
        for epoch in range(places[0] // n_tasks, places[-1] // n_tasks + 1)
    }
    return [int(orders[place // n_tasks][place % n_tasks]) for place in places]


def _by_variation(rollout: Rollout) -> tuple[Rollout, Rollout]:
    """The groups whose completions earned different rewards, and the others."""
    varies = rollout.varies.tolist()
    return (
        rollout.take([group for group, yes in enumerate(varies) if yes]),
        rollout.take([group for group, yes in enumerate(varies) if not yes]),
    )
