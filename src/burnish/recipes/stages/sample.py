"""sample: several answers to each task, judged, giving preference pairs of the better against the worse."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.methods.answering import Judged, Sampled, answer, sample
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work, probe_prompts, read_judged_tasks
from burnish.recipes.schema.gold import check_gold
from burnish.recipes.schema.judges import JudgeConfig
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.stage import FileReference, LatestModel, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.recipes.schema.verifiers import VerifierConfig
from burnish.runs.names import PAIRS_FILE, SAMPLES_FILE

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.sampling import Sampling
    from burnish.recipes.plan.work import Work


Row = dict[str, Any]


class SampleStage(Prompted, StageConfig):
    """Writes `samples.jsonl`, all answers with their verdicts, and `pairs.jsonl`, preferences for dpo.

    With a `verifier`, a prompt gives pairs if it has right and wrong answers. Of its wrong answers the most probable
    are taken first: they are what the model would say, so what it has to unlearn. With a `judge`, the best answer makes
    a pair with the worst, the second best with the second worst, as long as their scores differ. Answers cut off at
    `max_new_tokens` make no pairs.
    """

    type: Literal["sample"] = Field("sample", description="sample")
    tasks: FileReference = Field(description="tasks: prompts with all that the verifier reads")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    verifier: VerifierConfig | None = Field(None, description="what tells right answers from wrong ones")
    judge: JudgeConfig | None = Field(None, description="what scores answers instead: a reward model or a judge model")
    model: LatestModel = Field(None, description="model that answers; the latest trained one if left out")
    samples: int = Field(4, ge=2, description="answers to each prompt")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; less is more cautious")
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    max_pairs_per_prompt: int = Field(1, ge=1, description="most pairs that one prompt gives")

    produces: ClassVar[dict[ReferenceKind, str]] = {"preferences": PAIRS_FILE}
    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        if (self.verifier is None) == (self.judge is None):
            both = "both `verifier` and `judge`" if self.judge is not None else "neither `verifier` nor `judge`"
            yield (), f"got {both}; expected one of them to tell good answers from bad ones"

    def check(self, context: StageContext) -> None:
        if self.judge is not None:
            self.judge.check()
        tasks = self._tasks(context)
        if self.verifier is not None:
            check_gold(context, self.verifier, tasks)
        probe_prompts(context, tasks, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        tasks, new = self._tasks(context), self.max_new_tokens
        return decoding_work(context, tasks, [str(self.model)], n=self.samples, max_new_tokens=new)

    def run(self, context: StageContext) -> Metrics:
        from burnish.generation.sampling import Sampling

        tasks = self._tasks(context)
        sampling = Sampling(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, max_new_tokens=self.max_new_tokens
        )
        if self.verifier is not None:
            samples, pairs, metrics = self._verified(context, tasks, sampling, self.verifier)
        else:
            assert self.judge is not None
            samples, pairs, metrics = self._judged(context, tasks, sampling, self.judge)
        for name, rows in ((SAMPLES_FILE, samples), (PAIRS_FILE, pairs)):
            lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
            atomic_write_text(context.folder / name, "".join(lines))
        if not pairs:
            lacking = "right and wrong answers" if self.verifier else "two whole answers of different score"
            context.display.say(
                f"  no prompt has {lacking}, so there are no pairs; raise `samples`, `temperature` or "
                "`max_new_tokens`, or train the model longer",
                style="yellow",
            )
        return {"prompts": len(tasks), "samples": len(samples), **metrics, "pairs": len(pairs)}

    def _tasks(self, context: StageContext) -> "list[Task]":
        from burnish.datasets.rows import read_tasks

        if self.verifier is not None:
            tasks = read_judged_tasks(context, self.tasks, self.verifier, columns=self.columns)
        else:
            tasks = read_tasks(context.paths(self.tasks), columns=self.columns)
        return self.with_system(context, tasks)

    def _verified(
        self, context: StageContext, tasks: "Sequence[Task]", sampling: "Sampling", verifier: VerifierConfig
    ) -> tuple[list[Row], list[Row], Metrics]:
        """Samples, pairs and metrics where answers are right or wrong."""
        answers = answer(
            context,
            "samples",
            partial(context.load, self.model),
            tasks,
            sampling,
            verifier.open(context.path, context.warn, context.cache),
            n=self.samples,
        )
        pairs = [pair for task, judged in zip(tasks, answers, strict=True) for pair in self.pairs(task, judged)]
        samples = [
            one.row(task) | {"logp": one.logp, "finished": one.finished}
            for task, judged in zip(tasks, answers, strict=True)
            for one in judged
        ]
        right = [sum(one.correct for one in judged) for judged in answers]
        return (
            samples,
            pairs,
            {
                "accuracy": sum(right) / len(samples),
                "solved": sum(count > 0 for count in right) / len(tasks),
                "mixed": sum(0 < count < self.samples for count in right) / len(tasks),
            },
        )

    def _judged(
        self, context: StageContext, tasks: "Sequence[Task]", sampling: "Sampling", judge: JudgeConfig
    ) -> tuple[list[Row], list[Row], Metrics]:
        """Samples, pairs and metrics where answers have scores."""
        answers = sample(context, "samples", partial(context.load, self.model), tasks, sampling, n=self.samples)
        # Only answers that can make a pair are worth a judge's time.
        candidates = [_whole(sampled) for sampled in answers]
        scores = judge.scores(context, tasks, [[one.text for one in group] for group in candidates])
        rows: list[Row] = []
        pairs: list[Row] = []
        for task, sampled, group, of_group in zip(tasks, answers, candidates, scores, strict=True):
            by_text = {one.text: score for one, score in zip(group, of_group, strict=True)}
            pairs += self.scored_pairs(task, group, of_group)
            rows += [
                {
                    "prompt": task.prompt,
                    "completion": one.text,
                    "score": by_text.get(one.text) if one.finished else None,
                    "logp": one.logp,
                    "finished": one.finished,
                }
                for one in sampled
            ]
        compared = [of_group for of_group in scores if len(of_group) > 1]
        spread = sum(max(of_group) - min(of_group) for of_group in compared) / max(1, len(compared))
        finished = sum(one.finished for sampled in answers for one in sampled) / len(rows)
        return rows, pairs, {"finished": finished, "score_spread": spread}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"pairs": metrics["pairs"]}

    def pairs(self, task: "Task", judged: list[Judged]) -> list[Row]:
        """The preferences of one prompt, those of the most probable answers first."""
        right, wrong = _distinct(judged, correct=True), _distinct(judged, correct=False)
        places = sorted(
            ((i, j) for i in range(len(right)) for j in range(len(wrong))), key=lambda place: (sum(place), place)
        )
        return [
            {**_shared(task), "chosen": right[i].text, "rejected": wrong[j].text, "reason": wrong[j].reason}
            for i, j in places[: self.max_pairs_per_prompt]
        ]

    def scored_pairs(self, task: "Task", answers: Sequence[Sampled], scores: Sequence[float]) -> list[Row]:
        """The preferences of one prompt: the best against the worst, the second best against the second worst, ..."""
        order = sorted(range(len(answers)), key=lambda place: -scores[place])
        pairs: list[Row] = []
        for better, worse in zip(order[: len(order) // 2], reversed(order), strict=False):
            if scores[better] > scores[worse] and len(pairs) < self.max_pairs_per_prompt:
                texts = {"chosen": answers[better].text, "rejected": answers[worse].text}
                both = {"chosen_score": scores[better], "rejected_score": scores[worse]}
                pairs.append({**_shared(task), **texts, **both})
        return pairs


def _shared(task: "Task") -> Row:
    """What a pair takes from its task."""
    return {"prompt": task.prompt} | {key: task.row[key] for key in ("tools",) if key in task.row}


def _whole(sampled: Sequence[Sampled]) -> list[Sampled]:
    """The different answers that the model ended and that say something, in the order they were drawn."""
    found: dict[str, Sampled] = {}
    for one in sampled:
        if one.finished and one.text.strip():
            found.setdefault(one.text, one)
    return list(found.values())


def _distinct(judged: list[Judged], *, correct: bool) -> list[Judged]:
    """The different whole answers with this verdict, the most probable first."""
    found: dict[str, Judged] = {}
    for one in sorted(judged, key=lambda one: -one.logp):
        if one.correct is correct and one.finished and one.text.strip():
            found.setdefault(one.text, one)
    return list(found.values())
