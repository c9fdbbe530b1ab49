"""Groups of completions: sampled side by side, judged, counted, and written down for a person to read."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from burnish.datasets.rollout import Rollout
from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.generation.texts import answer_of
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import JudgedAnswer, Judgement, WeightedJudge, judge_answers, judged_answers, scores

Marks = Callable[[Sequence[WeightedJudge], Sequence[Sequence[JudgedAnswer]]], Mapping[str, Sequence[bool]]]
"""What is so of some of the judged completions, group by group: by name, a value for each of them all."""
GROUPED = ("reward", "completions/mean_length")
"""What is logged of groups of tasks apart."""


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How a rollout is sampled.

    prompts: groups of a rollout. num_generations: completions of each prompt.
    dynamic_sampling: so many times, groups whose completions all earned the same are replaced by further prompts
        (DAPO, arXiv:2503.14476, section 3.2); what is still lacking then stays as it is.
    tempered: whether the loss is that of the policy at the temperature of the sampling, and the log-probabilities which
        it is compared with are; else they are the model's own.
    batch_size: completions decoded side by side.
    """

    sampling: Sampling
    prompts: int
    num_generations: int
    dynamic_sampling: int = 0
    micro_batch_tokens: int = 2048
    tempered: bool = True
    batch_size: int = 128


def sample_wave(
    policy: Decoder,
    environment: Environment,
    config: RolloutConfig,
    tasks: Sequence[int],
    seed: int,
    *,
    marks: Marks | None = None,
) -> Rollout:
    """A group of completions for each of the tasks, decoded side by side and rewarded."""
    n = config.num_generations
    prompts = [environment.prompts[task].tokens for task in tasks]
    if environment.act is not None:
        asked = [environment.tasks[task] for task in tasks for _ in range(n)]
        acted = environment.act(policy, asked, config.sampling, seed)
        logps = [one.sampling_logps if config.tempered else one.logps for one in acted]
        return _judged(
            environment, tasks, [one.answer for one in acted], logps, marks, masks=[one.mask for one in acted]
        )
    groups = generate(
        policy,
        prompts,
        config.sampling,
        n=n,
        seed=seed,
        batch_size=config.batch_size,
        tokenizer=environment.tokenizer,
    )
    completions = [completion for group in groups for completion in group]
    asked = [environment.tasks[task] for task in tasks for _ in range(n)]
    answers = [
        answer_of(completion, environment.tokenizer, task.prompt, task.row, task.source)
        for task, completion in zip(asked, completions, strict=True)
    ]
    logps = [one.sampling_logps if config.tempered else one.logps for one in completions]
    return _judged(environment, tasks, answers, logps, marks)


def _judged(
    environment: Environment,
    tasks: Sequence[int],
    answers: Sequence[Answer],
    sampling_logps: Sequence[Sequence[float]],
    marks: Marks | None,
    masks: list[list[bool]] | None = None,
) -> Rollout:
    """The rollout of sampled answers, rewarded. sampling_logps: of each, those of its drawn tokens."""
    rewards, n = environment.rewards, len(answers) // len(tasks)
    judged = judge_answers(rewards, answers)
    columns, by_token = token_scores(rewards, judged, [len(answer.tokens) for answer in answers])
    if masks is not None and by_token is not None:
        raise BurnishError("rewards that score single tokens do not go with tools, whose results have no score")
    columns["sampling_logps"] = [torch.tensor(one) for one in sampling_logps]
    found: Mapping[str, Sequence[bool]] = {}
    if marks is not None:
        verdicts = judged_answers(rewards, answers, judged)
        found = marks(rewards, [verdicts[start : start + n] for start in range(0, len(verdicts), n)])
    return Rollout(
        tasks=list(tasks),
        prompts=[environment.prompts[task].tokens for task in tasks],
        answers=[list(answer.tokens) for answer in answers],
        finished=torch.tensor([answer.finished for answer in answers]),
        rewards=torch.tensor(scores(judged), dtype=torch.float32).reshape(len(rewards), len(answers)),
        weights={reward.name: reward.weight for reward in rewards},
        columns=columns,
        n_sampled=len(tasks),
        by_token=by_token,
        marks={name: torch.tensor(values) for name, values in found.items()},
        masks=masks,
    )


def readable(rollout: Rollout, environment: Environment) -> str:
    """JSON lines for a person to read: of each completion the prompt, the text, what it earned, and its marks."""
    lines = []
    for place, answer in enumerate(rollout.answers):
        task = environment.tasks[rollout.tasks[place // rollout.group_size]]
        line = {
            "prompt": task.prompt,
            "completion": environment.tokenizer.decode(answer),
            "reward": round(rollout.totals.flatten()[place].item(), 6),
            "rewards": {
                name: round(value, 6)
                for name, value in zip(rollout.weights, rollout.rewards[:, place].tolist(), strict=True)
                if not math.isnan(value)
            },
            "tokens": len(answer),
            "finished": bool(rollout.finished[place]),
            **{name: bool(values[place]) for name, values in rollout.marks.items()},
        }
        lines.append(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    return "".join(lines)


def metrics_by_group(rollout: Rollout, group_of: Callable[[int], str | None]) -> dict[str, float]:
    """A rollout's metrics, and reward and length of each group of tasks under `NAME/GROUP`."""
    found = rollout.metrics()
    members: dict[str, list[int]] = {}
    for place, task in enumerate(rollout.tasks):
        if (group := group_of(task)) is not None:
            members.setdefault(group, []).append(place)
    for group in sorted(members):
        of_group = rollout.take(members[group]).metrics()
        found |= {f"{name}/{group}": of_group[name] for name in GROUPED}
    return found


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
