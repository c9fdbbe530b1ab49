"""SFT, RFT, online RFT, DPO, PPO and GRPO from one start, each with as many answers as a budget of operations pays for.

Notable choices:
- all of them are `burnish.methods`, at one learning rate and, where there is one, one price β of leaving the start;
- how many answers a budget pays for is planned from a few answers of the start; what was spent is counted afterwards;
- the time that sampling takes ends where a judge is asked and begins where the step before has ended.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from burnish.datasets.examples import Example, PreferenceExample
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.lab.reasoning.arithmetic import Addition
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reading import n_parameters
from burnish.lab.reasoning.written_out import (
    MICRO_BATCH_TOKENS,
    by_rule,
    chat_tokenizer,
    demonstration,
    environment,
    problems,
    question,
    right_counts,
    sampled,
)
from burnish.methods import dpo, grpo, ppo, rft, sft
from burnish.methods.reference_logps import scored_logps
from burnish.nn.actor_critic import sharing_copy
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import Judgement, WeightedJudge
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.events import read_events
from burnish.training.loop import Progress

Method = Literal["SFT", "RFT", "online RFT", "DPO", "PPO", "GRPO"]
METHODS: tuple[Method, ...] = get_args(Method)
GROUP = 8
"""Answers to a problem, of the methods that compare or choose among them."""
PROMPTS = 16
"""Problems of a rollout of GRPO and online RFT; one of PPO has as many answers as half of it, each to its own."""
PPO_EPOCHS, RFT_EPOCHS = 2, 2
LEARNED_AT_ONCE = 32
"""Answers or pairs of an optimizer step of SFT, RFT and DPO."""


@dataclass(frozen=True, kw_only=True)
class RivalSetting:
    """A method with its learning rate, and β where it has one: what a nat away from the start costs."""

    method: Method
    learning_rate: float
    beta: float | None = None

    @property
    def name(self) -> str:
        """A file name."""
        price = "" if self.beta is None else f"-{self.beta:g}"
        return f"{self.method.replace(' ', '-')}-{self.learning_rate:g}{price}"


@dataclass(frozen=True, kw_only=True)
class BudgetPlan:
    """What answers of the start are like, by which a budget is planned.

    question, answer: their tokens. solved: share of problems with a right one of `GROUP` answers. shared: tokens of a
    group as a forest, for each of its answers. paired: those of a problem's pairs, each as a forest of its own.
    """

    question: float
    answer: float
    solved: float
    shared: float
    paired: float

    def operations(self, choice: RivalSetting, parameters: int) -> float:
        """Of one answer: demonstrated, sampled, or for DPO a problem with its answers and pairs."""
        alone = self.answer + self.question
        none, n = Operations(), parameters
        match choice.method:
            case "SFT":
                return none.training(n, alone).total
            case "RFT":  # equal answers are learned from once
                return none.forward(n, self.answer).training(n, RFT_EPOCHS * self.solved / GROUP * alone).total
            case "online RFT":  # how many are solved grows on the way
                return none.forward(n, self.answer).training(n, (1 + self.solved) / 2 / GROUP * alone).total
            case "DPO":
                return none.forward(n, GROUP * self.answer + self.paired).training(n, self.paired).total
            case "PPO":
                return none.forward(n, self.answer + 3 * alone).training(n, PPO_EPOCHS * 2 * alone).total
            case "GRPO":
                asked = none.forward(n, self.answer + (self.shared if choice.beta else 0.0))
                return asked.training(n, self.shared).total

    def budget(self, rollouts: int, parameters: int) -> float:
        """Operations of so many rollouts of GRPO without a price β."""
        one = self.operations(RivalSetting(method="GRPO", learning_rate=1.0), parameters)
        return rollouts * PROMPTS * GROUP * one


@dataclass
class Stopwatch:
    """Seconds of processor time of sampling."""

    seconds: float = 0.0
    since: float = field(default_factory=time.process_time)

    def look(self, progress: Progress) -> None:
        """A step has ended; what follows may be sampling."""
        self.since = time.process_time()

    def judge(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """By the rule, once answers are there."""
        self.seconds += time.process_time() - self.since
        judged = by_rule(answers)
        self.since = time.process_time()
        return judged


@dataclass(frozen=True)
class Spent:
    """Operations, seconds of processor time of all and of sampling, and optimizer steps."""

    operations: float
    seconds: float
    sampling_seconds: float
    steps: int


@dataclass(frozen=True)
class Contest:
    """One start, and a budget of operations for whatever learns from there."""

    start: Decoder
    digits: int
    budget: float
    plan: BudgetPlan
    seed: int

    def learned(self, choice: RivalSetting, run: Run) -> tuple[Decoder, Spent]:
        """What becomes of the start."""
        policy, watch = sharing_copy(self.start), Stopwatch()
        count = self.budget / self.plan.operations(choice, n_parameters(policy))
        begun = time.process_time()
        spent = _ROUTES[choice.method](self, policy, choice, count, run, watch)
        seconds, steps = time.process_time() - begun, len(read_events(run.folder))
        return policy.eval(), Spent(spent.total, seconds, watch.seconds, steps)

    def asked(self, count: int) -> list[Addition]:
        """Problems to learn from."""
        return problems(self.digits, count, [self.seed, 3])


def _training(choice: RivalSetting, batch_size: int, **others: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "learning_rate": choice.learning_rate,
            "schedule": "linear",
            "warmup_fraction": 0.1,
            "batch_size": batch_size,
            "micro_batch_tokens": MICRO_BATCH_TOKENS,
            "checkpoint_seconds": 1e6,
            **others,
        }
    )


def _demonstrated(
    contest: Contest, policy: Decoder, choice: RivalSetting, count: float, run: Run, watch: Stopwatch
) -> Operations:
    tokenizer = chat_tokenizer()
    examples: list[Example] = [demonstration(tokenizer, one) for one in contest.asked(max(1, round(count)))]
    settings = sft.Settings.model_validate({"training": _training(choice, LEARNED_AT_ONCE)})
    sft.learn(policy, examples, settings, run, on_progress=watch.look)
    return Operations().training(n_parameters(policy), _tokens(run))


def _sampling(contest: Contest, answers: int) -> dict[str, Any]:
    return {"max_new_tokens": round(contest.plan.answer) + 8, "num_generations": answers}


def _accepted(
    contest: Contest, policy: Decoder, choice: RivalSetting, count: float, run: Run, watch: Stopwatch
) -> Operations:
    online = choice.method == "online RFT"
    tasks = max(PROMPTS if online else 1, round(count / GROUP))
    training = _training(choice, PROMPTS if online else LEARNED_AT_ONCE, epochs=1.0 if online else RFT_EPOCHS)
    settings = rft.Settings.model_validate(
        {"online": online, "mean_over": "examples", "training": training, **_sampling(contest, GROUP)}
    )
    rft.learn(policy, _asked(contest, tasks, watch), settings, run, on_progress=watch.look)
    n, events = n_parameters(policy), read_events(run.folder)
    rollouts = events if online else events[:1]
    prompts = PROMPTS if online else tasks
    drawn = sum(event["completions/mean_length"] for event in rollouts) * GROUP * prompts
    return Operations().forward(n, drawn).training(n, _tokens(run))


def _preferred(
    contest: Contest, policy: Decoder, choice: RivalSetting, count: float, run: Run, watch: Stopwatch
) -> Operations:
    tokenizer, asked = chat_tokenizer(), contest.asked(max(1, round(count)))
    groups = sampled(policy, tokenizer, asked, GROUP, seed=contest.seed)
    watch.seconds += time.process_time() - watch.since
    pairs = [
        pair for one, group in zip(asked, groups, strict=True) for pair in pairs_of(question(tokenizer, one), group)
    ]
    n, drawn = n_parameters(policy), sum(len(one.tokens) for group in groups for one in group)
    if not pairs:  # nothing to prefer: the policy stays as it is
        return Operations().forward(n, drawn)
    reference = scored_logps(policy, pairs, MICRO_BATCH_TOKENS)
    settings = dpo.Settings.model_validate({"beta": choice.beta, "training": _training(choice, LEARNED_AT_ONCE)})
    dpo.learn(policy, pairs, reference, settings, run)
    return Operations().forward(n, drawn + _tokens(run)).training(n, _tokens(run))


def pairs_of(asked: list[int], group: Sequence[Answer]) -> list[PreferenceExample]:
    """Each right answer above a wrong one, none of them twice."""
    right, wrong = (
        [list(one.tokens) for one, judged in zip(group, by_rule(group), strict=True) if judged.correct is side]
        for side in (True, False)
    )
    return [PreferenceExample(asked, better, worse) for better, worse in zip(right, wrong, strict=False)]


def _by_ppo(
    contest: Contest, policy: Decoder, choice: RivalSetting, count: float, run: Run, watch: Stopwatch
) -> Operations:
    size = PROMPTS * GROUP // 2
    rollouts = max(1, round(count / size))
    settings = ppo.Settings.model_validate(
        {
            "critic": ppo.CriticSettings.model_validate({"type": "network"}),
            "num_ppo_epochs": PPO_EPOCHS,
            "kl_coef": choice.beta,
            "rollouts": rollouts,
            "training": _training(choice, size),
            **_sampling(contest, 1),
        }
    )
    ppo.learn(policy, _asked(contest, rollouts * size, watch), settings, run, on_progress=watch.look)
    n, passes = n_parameters(policy), _tokens(run) / PPO_EPOCHS
    drawn = passes - rollouts * size * contest.plan.question
    # Policy, critic and reference are asked about a rollout; policy and critic learn from it in each of the passes.
    return Operations().forward(n, drawn + 3 * passes).training(n, 2 * _tokens(run))


def _by_grpo(
    contest: Contest, policy: Decoder, choice: RivalSetting, count: float, run: Run, watch: Stopwatch
) -> Operations:
    rollouts = max(1, round(count / (PROMPTS * GROUP)))
    settings = grpo.Settings.model_validate(
        {
            "beta": choice.beta or 0.0,
            "rollouts": rollouts,
            "training": _training(choice, PROMPTS),
            **_sampling(contest, GROUP),
        }
    )
    grpo.learn(policy, _asked(contest, rollouts * PROMPTS, watch), settings, run, on_progress=watch.look)
    n, events = n_parameters(policy), read_events(run.folder)
    drawn = sum(event["completions/mean_length"] for event in events) * PROMPTS * GROUP
    compared = _tokens(run) if choice.beta else 0.0  # with a price every answer is learned from, and was compared
    return Operations().forward(n, drawn + compared).training(n, _tokens(run))


def _asked(contest: Contest, count: int, watch: Stopwatch) -> Any:
    watch.since = time.process_time()
    return environment(chat_tokenizer(), contest.asked(count), [WeightedJudge("accuracy", watch.judge)])


def _tokens(run: Run) -> float:
    """Tokens that a training has learned from."""
    return sum(event["tokens"] for event in read_events(run.folder))


_ROUTES: Mapping[Method, Callable[[Contest, Decoder, RivalSetting, float, Run, Stopwatch], Operations]] = {
    "SFT": _demonstrated,
    "RFT": _accepted,
    "online RFT": _accepted,
    "DPO": _preferred,
    "PPO": _by_ppo,
    "GRPO": _by_grpo,
}


def planned(start: Decoder, digits: int, *, seed: int, count: int = 64) -> BudgetPlan:
    """What a few answers of the start are like."""
    tokenizer, asked = chat_tokenizer(), problems(digits, count, [seed, 2])
    groups = sampled(start, tokenizer, asked, GROUP, seed=seed)
    questions = [question(tokenizer, one) for one in asked]
    pairs = [pairs_of(one, group) for one, group in zip(questions, groups, strict=True)]
    return BudgetPlan(
        question=sum(map(len, questions)) / count,
        answer=sum(len(one.tokens) for group in groups for one in group) / (count * GROUP),
        solved=sum(right > 0 for right in right_counts(groups)) / count,
        shared=sum(
            in_forest([[*one, *answer.tokens] for answer in group])
            for one, group in zip(questions, groups, strict=True)
        )
        / (count * GROUP),
        paired=sum(in_forest(pair.sequences) for of_problem in pairs for pair in of_problem) / count,
    )


def in_forest(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens that are computed of sequences which begin alike."""
    return Forest.from_sequences(sequences)[0].n_tokens if sequences else 0
