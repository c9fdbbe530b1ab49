"""Which of the sampled answers to a prompt are accepted, and which of those are kept to be learned from.

Nothing here imports PyTorch: recipes read the settings.
"""

from collections.abc import Hashable, Sequence
from typing import Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.methods.settings import Strict
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
from burnish.rewards.reasoning import reasoning_of


class AcceptanceSettings(Strict):
    """What makes an answer one to learn from."""

    threshold: float | None = Field(
        None,
        description="least score, the weighted sum, of an answer that is accepted; where judges tell right from wrong "
        "it has to be right too, and the score does not matter if left out",
    )
    deduplicate: Literal["none", "text", "reasoning"] = Field(
        "text",
        description="of the accepted answers to a prompt that are the same, the first alone is kept: `text` compares "
        "the words, `reasoning` the equations (`numbers`) or the query (`sql`), and the words where an answer has none",
    )
    max_per_prompt: int | None = Field(
        None, ge=1, description="most answers to one prompt that are kept, those drawn first; null: all"
    )


def accepts(one: JudgedAnswer, settings: AcceptanceSettings) -> bool:
    """1(o): whether the model ended the answer, it says something, and the judges find it right or good enough.

    Raises DataError where no judge told right from wrong and there is no threshold.
    """
    verdict = one.verdict
    if verdict.correct is None and settings.threshold is None:
        raise DataError(
            f"no judge told right from wrong of an answer to {one.answer.question[:80]!r}: set `threshold`, the least "
            f"score of an answer that is accepted (this one has {verdict.score:g})"
        )
    good = settings.threshold is None or verdict.score >= settings.threshold
    return good and verdict.correct is not False and one.answer.finished and bool(one.answer.text.strip())


def kept(
    judges: Sequence[WeightedJudge], group: Sequence[JudgedAnswer], settings: AcceptanceSettings
) -> tuple[list[bool], list[bool]]:
    """Of each answer to one prompt whether it is accepted, and whether it is kept."""
    accepted = [accepts(one, settings) for one in group]
    seen: set[Hashable] = set()
    chosen = []
    for one, yes in zip(group, accepted, strict=True):
        form = _form(judges, one, settings)
        # The number stands for the answer itself where equal ones are kept.
        yes = yes and form not in seen and len(seen) < (settings.max_per_prompt or len(group))
        chosen.append(yes)
        if yes:
            seen.add(len(seen) if form is None else form)
    return accepted, chosen


def _form(judges: Sequence[WeightedJudge], one: JudgedAnswer, settings: AcceptanceSettings) -> Hashable | None:
    """What two answers have in common that are the same; None where each is another."""
    if settings.deduplicate == "none":
        return None
    way = reasoning_of(judges, one.answer) if settings.deduplicate == "reasoning" else None
    return way or one.answer.text.strip()
