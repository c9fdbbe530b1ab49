"""Whether an episode has called what its task needs: a judge of outcomes, not of how they were come by."""

from collections.abc import Sequence

from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judgement, verdict


class CallsVerifier:
    """Right is an answer for which every tool that the row names was called without failing, and no other of `only`.

    key: of the row, a list of names. only: tools that must not be called where the row does not name them, such as one
    that draws a plot nobody asked for. Reasons: "correct", "not called", "called in vain" (it failed), "not asked for".
    """

    def __init__(self, key: str = "calls", only: Sequence[str] = ()) -> None:
        self._key, self._only = key, tuple(only)

    def names(self, row: object) -> list[str]:
        """The tools that a row names. Raises DataError where it names none."""
        found = row.get(self._key) if isinstance(row, dict) else None
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise DataError(f"a task needs `{self._key}`, a list of the tools that must be called")
        return found

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer by its calls."""
        return [self._judge(answer) for answer in answers]

    def _judge(self, answer: Answer) -> Judgement:
        names = self.names(dict(answer.row))
        called = {str(call["name"]) for call in answer.calls}
        worked = {str(call["name"]) for call in answer.calls if not call["failed"]}
        for name in names:
            if name not in worked:
                return verdict(False, "called in vain" if name in called else "not called", name)
        unasked = sorted((called & set(self._only)) - set(names))
        return verdict(False, "not asked for", ", ".join(unasked)) if unasked else verdict(True, "correct")
