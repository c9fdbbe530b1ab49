"""`reward-models`: outcome against process reward models against rules, at choosing one of N answers and at RL.

Choosing: best-of-N and weighted votes (Cobbe 2021, arXiv:2110.14168; Lightman 2023, arXiv:2305.20050; Uesato 2022,
arXiv:2211.14275). RL: whether what a reward model says and what is right part company (Gao 2022, arXiv:2210.10760).

Notable choices:
- labels of steps are computed, not guessed; both kinds learn from the same answers;
- a reward model of few answers is there to be exploited, one of many to see whether more labels help.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from burnish.generation.answer import Answer
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning.arithmetic import longest_answer
from burnish.lab.reasoning.choosing import best_of, voted
from burnish.lab.reasoning.judged_tables import tables_and_panels
from burnish.lab.reasoning.overoptimization import Look, Reinforcing, optimized
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.reasoning.reward_models import SEPARATOR, RewardModels, RewardModelTraining
from burnish.lab.reasoning.written_out import Demonstrations, by_rule, chat_tokenizer, problems, sampled
from burnish.lab.seeded import SeededExperiment
from burnish.nn.decoder import Decoder
from burnish.report.formatting import percent
from burnish.rewards.judgement import Judge, as_judgement
from burnish.runs.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is.

    few, many: answers that reward models learn from, `learned_samples` to a problem. problems: that answers are chosen
    for, among up to the largest of `ns`.
    """

    demonstrations: Demonstrations
    few: int
    many: int
    problems: int
    ns: Sequence[int]
    reinforcing: Reinforcing
    learned_samples: int = 8
    judging: RewardModelTraining = field(default_factory=RewardModelTraining)

    @property
    def digits(self) -> int:
        """Of the additions that answers are judged of."""
        return self.demonstrations.digits


FULL = Scale(
    demonstrations=Demonstrations(shape=Shape(d_model=64, n_layers=2, n_heads=4), digits=3),
    few=256,
    many=4096,
    problems=48,
    ns=(1, 2, 4, 8, 16, 32, 64),
    reinforcing=Reinforcing(rollouts=32, learning_rate=1e-3, looks=4, problems=48, samples=4),
)
QUICK = replace(
    FULL,
    demonstrations=Demonstrations(shape=Shape(d_model=32, n_layers=1, n_heads=2), digits=1, portion=1_000, portions=2),
    few=32,
    many=64,
    problems=6,
    ns=(1, 2, 8),
    reinforcing=Reinforcing(rollouts=2, learning_rate=1e-3, looks=2, problems=4, samples=2),
)


@dataclass(frozen=True, kw_only=True)
class RewardModelsExperiment(SeededExperiment):
    """Imitate demonstrations, judge the answers, choose among them and reinforce; with each of so many seeds."""

    topic: str = "reward-models"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        chosen: list[dict[str, dict[str, list[float]]]] = []
        looked: dict[str, list[list[Look]]] = {}
        size = 0
        for seed in self.each_seed(display):
            start = self.scale.demonstrations.start(seed, notebook, display)
            size = n_parameters(start)
            models = self._models(start, seed, notebook, display)
            chosen.append(notebook.piece(f"chosen-{seed}", partial(self._chosen, start, models, seed)))
            for case, judge in self._rewards(models).items():
                looked.setdefault(case, []).append(self._looks(start, case, judge, seed, notebook, display))
        tables, panels = tables_and_panels(chosen, looked, self.scale.ns, self._note(size), seed=self.seed)
        facts = self.facts(parameters=size)
        return Findings(tables, panels, facts)

    def _models(self, start: Decoder, seed: int, notebook: Notebook, display: Reporter) -> RewardModels:
        scale = self.scale
        asked = problems(scale.digits, scale.many // scale.learned_samples, [seed, 2])
        groups = sampled(start, chat_tokenizer(), asked, scale.learned_samples, seed=seed)
        return RewardModels(start, scale.judging, [a for group in groups for a in group], seed, notebook, display)

    def _judges(self, models: RewardModels) -> dict[str, Judge]:
        """Those that choose among answers."""
        few, many = self.scale.few, self.scale.many
        return {
            f"ORM, {few:,} answers": models.judge("ORM", few),
            f"ORM, {many:,} answers": models.judge("ORM", many),
            f"PRM, {few:,} answers": models.judge("PRM", few),
            f"PRM, {many:,} answers": models.judge("PRM", many),
            f"PRM, {many:,} answers, least step": models.judge("PRM", many, aggregation="min"),
        }

    def _rewards(self, models: RewardModels) -> dict[str, Judge]:
        """Those that reinforce."""
        few = self.scale.few
        return {
            "rules": by_rule,
            f"ORM, {few:,} answers": models.judge("ORM", few),
            f"PRM, {few:,} answers": models.judge("PRM", few),
            f"PRM, {few:,} answers, sum of steps": models.judge("PRM", few, per_step=True),
        }

    def _chosen(self, start: Decoder, models: RewardModels, seed: int) -> dict[str, dict[str, list[float]]]:
        """Of each way of choosing, and each N as text, the expected accuracy of each problem."""
        scale = self.scale
        asked = problems(scale.digits, scale.problems, [seed, 8], heldout=True)
        groups = sampled(start, chat_tokenizer(), asked, max(scale.ns), seed=seed)
        right = [[float(bool(one.correct)) for one in by_rule(group)] for group in groups]
        said = [[final(one) for one in group] for group in groups]
        found = {
            "votes": _by_n(scale.ns, partial(_votes, said, right, None, seed)),
            "rules": _by_n(scale.ns, partial(_best, right, right)),
        }
        for name, judge in self._judges(models).items():
            scores = [[as_judgement(one).score for one in judge(group)] for group in groups]
            found[name] = _by_n(scale.ns, partial(_best, scores, right))
            found[f"{name}: says"] = _by_n(scale.ns, partial(_best, scores, scores))
            found[f"{name}, weighted votes"] = _by_n(scale.ns, partial(_votes, said, right, scores, seed))
        return found

    def _looks(
        self, start: Decoder, case: str, judge: Judge, seed: int, notebook: Notebook, display: Reporter
    ) -> list[Look]:
        return optimized(
            start,
            judge,
            case,
            self.scale.reinforcing,
            digits=self.scale.digits,
            longest=2 * longest_answer(self.scale.digits),
            seed=seed,
            notebook=notebook,
            display=display,
        )

    def _note(self, size: int) -> str:
        scale, rl = self.scale, self.scale.reinforcing
        return (
            f"{size:,} parameters, characters as tokens; the start imitated additions of 1 to {scale.digits} "
            f"digits until {percent(scale.demonstrations.enough, 0)} were right, written out in columns. "
            f"Reward models begin as the start and learn from "
            f"its answers to {scale.digits} digits ({scale.learned_samples} to a problem), whose labels are computed, "
            f"in {scale.judging.epochs:g} passes. {scale.problems} held-out problems a seed, {max(scale.ns)} samples "
            f"each; {self.seeds} seeds; intervals of 95 % over the problems of all seeds. RL: GRPO without KL, "
            f"{rl.rollouts} steps, looked at with {rl.samples} samples each of {rl.problems} held-out problems."
        )


def final(answer: Answer) -> str | None:
    """What an answer comes to; None where it was cut."""
    return answer.text.rpartition(SEPARATOR)[2] if answer.finished else None


def _by_n(ns: Sequence[int], of: Any) -> dict[str, list[float]]:
    return {str(n): of(n) for n in ns}


Values = Sequence[Sequence[float]]


def _best(scores: Values, values: Values, n: int) -> list[float]:
    return [best_of(one, worth, n) for one, worth in zip(scores, values, strict=True)]


def _votes(
    said: Sequence[Sequence[str | None]], right: Values, weights: Values | None, seed: int, n: int
) -> list[float]:
    return [
        voted(one, right[place], n, weights=None if weights is None else weights[place], seed=seed * 1000 + place)
        for place, one in enumerate(said)
    ]
