"""compare: several models answer the same prompts, and are measured by reward, divergence, length, wins and cost."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.methods import compare
from burnish.methods.comparing import read_held_out
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.asking import decoding_work, probe_prompts
from burnish.recipes.schema.judges import check_judges, check_rows, open_judges, with_judges
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.rivals import Rivals
from burnish.recipes.schema.stage import FileReference, Metrics, StageConfig, StageContext

if TYPE_CHECKING:
    from burnish.datasets.rows import Preference, Task
    from burnish.recipes.plan.work import Work


class CompareStage(compare.Settings, Rivals, Prompted, StageConfig):
    """Samples answers of each model, at temperature 1, and measures them on the same held-out prompts.

    For each model: mean reward, KL from the reference, length, share of answers cut off, win rate against a baseline,
    and time and memory of the stages that made it. Where the prompts are preferences, also how often the reward model
    and each model's implicit reward rank a pair right. Writes `comparison.json` and `samples-LABEL.jsonl`.
    """

    type: Literal["compare"] = Field("compare", description="compare")
    prompts: FileReference = Field(description="held-out tasks, or preferences, whose pairs are then ranked as well")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")

    resumable: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from self.rival_problems()
        if self.max_new_tokens >= self.max_length:
            yield (
                ("max_new_tokens",),
                f"got {self.max_new_tokens}; leaves no room for a prompt: expected less than max_length "
                f"({self.max_length})",
            )

    def check(self, context: StageContext) -> None:
        if self.judge is not None:
            self.judge.check(context)
        tasks, _ = self.read(context)
        check_rows(tasks, self.all_rewards)
        check_judges(context, self.rewards, tasks)
        probe_prompts(context, tasks, self.reference, *self.models.values())

    def read(self, context: StageContext) -> "tuple[list[Task], list[Preference]]":
        """The prompts, and the pairs where the file has some, with the system prompt where they have none."""
        tasks, pairs = read_held_out(context.paths(self.prompts), self.columns)
        return self.with_system(context, tasks), self.with_system(context, pairs)

    def work(self, context: StageContext) -> "Work | None":
        tasks, pairs = self.read(context)
        models, new = list(self.models.values()), self.max_new_tokens
        decoding = decoding_work(context, tasks, models, n=self.samples, max_new_tokens=new)
        # Every answer is scored by its model and by the reference, held-out pairs by each.
        scored = 2 * (decoding.scored * self.samples + decoding.decoded) * (2 if pairs else 1) if decoding else 0
        if decoding is None:
            return None
        return with_judges(
            replace(decoding, scored=scored), context, self.all_rewards, decoding.scored + decoding.decoded
        )

    def run(self, context: StageContext) -> Metrics:
        compared = compare.ComparedModels(
            models=self.models,
            reference=self.reference,
            baseline=self.baseline or next(iter(self.models)),
            tokenizer=context.load_tokenizer(self.reference),
            load=context.load,
            load_reward_model=context.load_reward_model,
            path=context.path,
            judging=partial(open_judges, context, self.all_rewards) if self.all_rewards else None,
            reward_model=self.reward_model,
            compare_pairs=partial(self.judge.compare, context) if self.judge is not None else None,
        )
        return compare.compare(context, compared, self.read(context), self)

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return compare.summarized(metrics)
