"""sample: several answers to each task, judged, giving preference pairs of right against wrong."""

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.files import atomic_write_text
from burnish.recipes.answering import Judged, answer, read_judged_tasks
from burnish.recipes.stage import FileReference, LatestModel, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.recipes.verifiers import VerifierConfig

if TYPE_CHECKING:
    from burnish.datasets.rows import Task

SAMPLES_FILE = "samples.jsonl"
PAIRS_FILE = "pairs.jsonl"


class SampleStage(StageConfig):
    """Writes `samples.jsonl`, all answers with their verdicts, and `pairs.jsonl`, preferences for dpo.

    A prompt gives pairs if it has right and wrong answers. Of its wrong answers the most probable are taken first:
    they are what the model would say, so what it has to unlearn. Answers cut off at `max_new_tokens` make no pairs.
    """

    type: Literal["sample"] = Field("sample", description="sample")
    tasks: FileReference = Field(description="tasks: prompts with all that the verifier reads")
    verifier: VerifierConfig = Field(description="what judges the answers")
    model: LatestModel = Field(None, description="model that answers; the latest trained one if left out")
    samples: int = Field(4, ge=2, description="answers to each prompt")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; less is more cautious")
    top_k: int = Field(0, ge=0, description="choose among so many tokens; 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="choose among the tokens that hold this share of probability")
    max_new_tokens: int = Field(128, ge=1, description="longest answer, in tokens")
    max_pairs_per_prompt: int = Field(1, ge=1, description="most pairs that one prompt gives")

    produces: ClassVar[dict[ReferenceKind, str]] = {"preferences": PAIRS_FILE}
    resumable: ClassVar[bool] = True

    def check(self, context: StageContext) -> None:
        read_judged_tasks(context, self.tasks, self.verifier)

    def run(self, context: StageContext) -> Metrics:
        from burnish.generation.sampling import Sampling

        tasks = read_judged_tasks(context, self.tasks, self.verifier)
        sampling = Sampling(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, max_new_tokens=self.max_new_tokens
        )
        answers = answer(context, "samples", self.model, tasks, sampling, self.verifier, n=self.samples)
        pairs = [pair for task, judged in zip(tasks, answers, strict=True) for pair in self.pairs(task, judged)]
        samples = [
            one.row(task) | {"logp": one.logp, "finished": one.finished}
            for task, judged in zip(tasks, answers, strict=True)
            for one in judged
        ]
        for name, rows in ((SAMPLES_FILE, samples), (PAIRS_FILE, pairs)):
            lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
            atomic_write_text(context.folder / name, "".join(lines))
        if not pairs:
            context.display.say(
                "  no prompt has right and wrong answers, so there are no pairs; raise `samples` or `temperature`, or "
                "train the model longer",
                style="yellow",
            )
        right = [sum(one.correct for one in judged) for judged in answers]
        return {
            "prompts": len(tasks),
            "samples": len(samples),
            "accuracy": sum(right) / len(samples),
            "solved": sum(count > 0 for count in right) / len(tasks),
            "mixed": sum(0 < count < self.samples for count in right) / len(tasks),
            "pairs": len(pairs),
        }

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return {"pairs": metrics["pairs"]}

    def pairs(self, task: "Task", judged: list[Judged]) -> list[dict[str, Any]]:
        """The preferences of one prompt, those of the most probable answers first."""
        right, wrong = _distinct(judged, correct=True), _distinct(judged, correct=False)
        places = sorted(
            ((i, j) for i in range(len(right)) for j in range(len(wrong))), key=lambda place: (sum(place), place)
        )
        shared = {"prompt": task.prompt} | {key: task.row[key] for key in ("tools",) if key in task.row}
        return [
            {**shared, "chosen": right[i].text, "rejected": wrong[j].text, "reason": wrong[j].reason}
            for i, j in places[: self.max_pairs_per_prompt]
        ]


def _distinct(judged: list[Judged], *, correct: bool) -> list[Judged]:
    """The different whole answers with this verdict, the most probable first."""
    found: dict[str, Judged] = {}
    for one in sorted(judged, key=lambda one: -one.logp):
        if one.correct is correct and one.finished and one.text.strip():
            found.setdefault(one.text, one)
    return list(found.values())
