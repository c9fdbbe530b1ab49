"""Rollouts of online methods: completions sampled from the policy as it is now, with what they earned.

Notable choices:
- rollout r is a function of (seed, r) and the policy: which prompts, and every draw;
- a rollout is on disk before its first update, so a run that is killed between two updates goes on with the same
  completions, and a person can read them (`rollouts/00000.jsonl`);
- what the policy and the reference said of the tokens is kept as one number a token, never as logits;
- a group is a prompt and its completions: one segment with children in training as in generation.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.examples import Prompt, task_prompts
from burnish.datasets.rollout import Rollout, load_rollout, rollout_batches, save_rollout
from burnish.datasets.rows import MEMORY, Place, Task
from burnish.errors import BurnishError, DataError
from burnish.files import atomic_write_text
from burnish.generation.answer import Answer
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.methods.settings import RolloutSettings, source
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import Judgement, WeightedJudge, judge_answers, scores
from burnish.runs.names import ROLLOUTS_FOLDER
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer

Columns = Callable[[Batch], Mapping[str, Tensor]]
"""Numbers about a batch's scored tokens, `[n_scored]` each, such as `old_logps`, `reference_logps` and `values`."""


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How a rollout is sampled.

    prompts: groups of a rollout. num_generations: completions of each prompt.
    dynamic_sampling: so many times, groups whose completions all earned the same are replaced by further prompts
        (DAPO, arXiv:2503.14476, section 3.2); what is still lacking then stays as it is.
    batch_size: completions decoded side by side.
    """

    sampling: Sampling
    prompts: int
    num_generations: int
    dynamic_sampling: int = 0
    micro_batch_tokens: int = 2048
    batch_size: int = 128


class Rollouts:
    """The rollouts of a run, by number; asked for in order, with the policy as the updates before left it.

    tasks and prompts: what may be asked, and the same as tokens. columns: computed once for each rollout, without
    gradients and with the policy in evaluation mode. run: its folder receives the readable files and, in `partial/`,
    the exact ones, which only belong to a run of the same key.
    """

    def __init__(
        self,
        policy: Decoder,
        tokenizer: Tokenizer,
        tasks: Sequence[Task],
        prompts: Sequence[Prompt],
        rewards: Sequence[WeightedJudge],
        config: RolloutConfig,
        run: Run,
        *,
        columns: Columns | None = None,
    ) -> None:
        self._policy, self._tokenizer, self._tasks, self._prompts = policy, tokenizer, tasks, prompts
        self._rewards, self._columns = rewards, columns
        self._folder, self._store = run.folder / ROLLOUTS_FOLDER, run.partial / ROLLOUTS_FOLDER
        self._seed, self._identity = run.seed, run.key
        self.config = replace(config, sampling=replace(config.sampling, stop=tokenizer.stop_ids))
        self._last: tuple[int, Rollout] | None = None

    def __getitem__(self, number: int) -> Rollout:
        if self._last is None or self._last[0] != number:
            self._last = number, self._load(number) or self._collect(number)
        return self._last[1]

    def resume(self, number: int, update: int) -> None:
        """Go on with update `update` of a rollout. Raises BurnishError where it is gone after its first update."""
        if update and self._load(number) is None:
            raise BurnishError(
                f"{self._file(number)}: the rollout that the training was learning from when it was interrupted is "
                "gone, and the policy of now would sample another; put the file back, or train the stage again with "
                "--from"
            )

    def _load(self, number: int) -> Rollout | None:
        weights = {reward.name: reward.weight for reward in self._rewards}
        prompts = [prompt.tokens for prompt in self._prompts]
        return load_rollout(self._file(number), prompts=prompts, weights=weights, identity=self._identity)

    def _file(self, number: int) -> Path:
        return self._store / f"{number:05}.safetensors"

    def _collect(self, number: int) -> Rollout:
        # A judge may draw random numbers; dropout must not notice whether a rollout was loaded or made.
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            rollout = self._sample_groups(number)
            # Training mode frees the weights that generation has packed.
            self._policy.train().eval()
            rollout = replace(rollout, columns={**rollout.columns, **self._compute_columns(rollout)})
        self._write_readable(number, rollout)
        save_rollout(self._file(number), rollout, identity=self._identity)
        return rollout

    def _sample_groups(self, number: int) -> Rollout:
        """The rollout's groups, those that vary first."""
        config = self.config
        wanted = chosen_tasks(len(self._tasks), number, config.prompts, self._seed)
        sampled = self._sample(wanted, [number, 0])
        varied, level = _by_variation(sampled)
        n_sampled = len(sampled.tasks)
        for attempt in range(1, config.dynamic_sampling + 1):
            missing = config.prompts - len(varied.tasks)
            if not missing:
                break
            draw = np.random.default_rng([self._seed, number, attempt])
            further = self._sample(draw.permutation(len(self._tasks))[:missing].tolist(), [number, attempt])
            n_sampled += len(further.tasks)
            more, flat = _by_variation(further)
            varied, level = varied + more, level + flat
        if config.dynamic_sampling:
            sampled = (varied + level).take(range(len(wanted)))
        return replace(sampled, n_sampled=n_sampled)

    def _sample(self, tasks: Sequence[int], seeds: Sequence[int]) -> Rollout:
        """A group for each of the tasks, rewarded."""
        prompts = [self._prompts[task].tokens for task in tasks]
        groups = generate(
            self._policy,
            prompts,
            self.config.sampling,
            n=self.config.num_generations,
            seed=int(np.random.SeedSequence([self._seed, *seeds]).generate_state(1)[0]),
            batch_size=self.config.batch_size,
        )
        completions = [completion for group in groups for completion in group]
        tokens = [c.tokens if c.stop is None else [*c.tokens, c.stop] for c in completions]
        asked = [self._tasks[task] for task in tasks for _ in range(self.config.num_generations)]
        answers = [
            Answer(
                task.prompt,
                self._tokenizer.decode(completion.tokens),
                task.row,
                answer,
                completion.logp,
                completion.stop is not None,
            )
            for task, completion, answer in zip(asked, completions, tokens, strict=True)
        ]
        judged = judge_answers(self._rewards, answers)
        columns, by_token = token_scores(self._rewards, judged, list(map(len, tokens)))
        if self.config.sampling.temperature == 1:  # those of the engine are of the model itself
            columns["sampling_logps"] = [torch.tensor(completion.logps) for completion in completions]
        return Rollout(
            tasks=list(tasks),
            prompts=prompts,
            answers=tokens,
            finished=torch.tensor([completion.stop is not None for completion in completions]),
            rewards=torch.tensor(scores(judged), dtype=torch.float32).reshape(len(self._rewards), len(tokens)),
            weights={reward.name: reward.weight for reward in self._rewards},
            columns=columns,
            n_sampled=len(tasks),
            by_token=by_token,
        )

    def _compute_columns(self, rollout: Rollout) -> dict[str, list[Tensor]]:
        found: dict[str, list[Tensor]] = {}
        if self._columns is None:
            return found
        everything = range(len(rollout.answers))
        for numbers, batch in rollout_batches(
            rollout, everything, micro_batch_tokens=self.config.micro_batch_tokens, stored=False
        ):
            sizes = [len(rollout.answers[number]) for number in numbers]
            on_device = batch.to(self._policy.device)
            for name, values in self._columns(on_device).items():
                column = found.setdefault(name, [torch.empty(0)] * len(rollout.answers))
                parts = values[on_device.entries].float().cpu().split(sizes)
                for number, part in zip(numbers, parts, strict=True):
                    column[number] = part.clone()
        return found

    def _write_readable(self, number: int, rollout: Rollout) -> None:
        lines = []
        for place, answer in enumerate(rollout.answers):
            task = self._tasks[rollout.tasks[place // rollout.group_size]]
            line = {
                "prompt": task.prompt,
                "completion": self._tokenizer.decode(answer),
                "reward": round(rollout.totals.flatten()[place].item(), 6),
                "rewards": {
                    name: round(value, 6)
                    for name, value in zip(rollout.weights, rollout.rewards[:, place].tolist(), strict=True)
                    if not math.isnan(value)
                },
                "tokens": len(answer),
                "finished": bool(rollout.finished[place]),
            }
            lines.append(json.dumps(line, ensure_ascii=False, default=str) + "\n")
        atomic_write_text(self._folder / f"{number:05}.jsonl", "".join(lines))


@dataclass(frozen=True)
class RolloutSteps:
    """The optimizer steps of a run: so many updates on each rollout.

    updates: the micro-batches of the rollout's update number `u`, 0 to `steps_per_rollout - 1`.
    """

    rollouts: Rollouts
    n_rollouts: int
    steps_per_rollout: int
    updates: Callable[[Rollout, int], list[Batch]]

    def __len__(self) -> int:
        return self.n_rollouts * self.steps_per_rollout

    def __getitem__(self, step: int) -> list[Batch]:
        number, update = divmod(step, self.steps_per_rollout)
        return self.updates(self.rollouts[number], update)

    def resume(self, step: int) -> None:
        """Raise BurnishError where the rollout that was being learned from is gone."""
        self.rollouts.resume(*divmod(step, self.steps_per_rollout))

    def metrics(self, step: int) -> dict[str, float]:
        """What the step's rollout earned: `step_metrics` of the training loop."""
        return self.rollouts[step // self.steps_per_rollout].metrics()


def token_scores(
    rewards: Sequence[WeightedJudge], judged: Sequence[Sequence[Judgement | None]], lengths: Sequence[int]
) -> tuple[dict[str, list[Tensor]], Tensor | None]:
    """The column `token_scores` of answers of so many tokens, and which rewards are in it; nothing where none is.

    An answer without token scores, of a judge that scores the tokens of others, has its score at its last token.
    """
    by_token = [any(one is not None and one.token_scores is not None for one in of_all) for of_all in judged]
    if not any(by_token):
        return {}, None
    sums = [torch.full((length,), torch.nan) for length in lengths]
    for reward, of_all in (
        (reward, of_all) for reward, of_all, yes in zip(rewards, judged, by_token, strict=True) if yes
    ):
        for place, one in enumerate(of_all):
            if one is None:
                continue
            found = [*[None] * (lengths[place] - 1), one.score] if one.token_scores is None else one.token_scores
            scored = torch.tensor([math.nan if score is None else reward.weight * score for score in found])
            sums[place] = torch.where(scored.isnan(), sums[place], sums[place].nan_to_num() + scored)
    return {"token_scores": sums}, torch.tensor(by_token)[:, None].expand(-1, len(lengths))


def prompts_with_room(
    tasks: Sequence[Task], tokenizer: Tokenizer, policy: Decoder, settings: RolloutSettings, run: Run
) -> tuple[list[Task], list[Prompt], int]:
    """The tasks whose prompts leave room for an answer, these prompts, and how many tasks were dropped.

    Says and writes down what became of each. Raises DataError where none is left.
    """
    # Those of a list in memory are told apart by their number in it.
    tasks = [replace(t, place=Place(t.place.file, n)) if t.place is MEMORY else t for n, t in enumerate(tasks, 1)]
    room = (tokenizer.context_length or policy.config.max_positions) - settings.max_new_tokens
    prompts, report = task_prompts(tasks, tokenizer, max_length=room)
    run.report(report)
    if not prompts:
        raise DataError(
            f"{source(tasks)}: no prompt leaves room for {settings.max_new_tokens} new tokens in the model's context; "
            f"lower max_new_tokens ({settings.max_new_tokens})"
        )
    dropped = {(file, line) for file, line, _ in report.dropped}
    kept = [task for task in tasks if (task.place.file, task.place.line) not in dropped]
    return kept, prompts, len(dropped)


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
