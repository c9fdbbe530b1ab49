"""Tasks of reasoning-gym: made by name, seed and place, and scored by the library's own scorers.

A row says how its task was made, `{"reasoning_gym": {"task": NAME, "config": {…}, "index": 7}}`, and the scorer makes
it again: what it reads besides the answer never has to survive a data file. All of it happens in a process of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.errors import BurnishError, DataError
from burnish.generation.answer import Answer
from burnish.rewards.format import R1_TAGS, Tags
from burnish.rewards.judgement import Judgement, verdict
from burnish.rewards.scorer import Scorer

KEY = "reasoning_gym"
_MAKE_SECONDS = 600.0
_CHUNK = 50


@dataclass(frozen=True)
class Made:
    """How a task was made: its name, the configuration with seed and size, and its place."""

    task: str
    config: Mapping[str, Any]
    index: int


def made(row: Mapping[str, Any]) -> Made:
    """How a row's task was made. Raises DataError where the row does not say so."""
    value = row.get(KEY)
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("task"), str)
        or not isinstance(value.get("config"), dict)
        or type(value.get("index")) is not int
    ):
        raise DataError(
            f'\'{KEY}\': got {value!r:.80}; expected {{"task": NAME, "config": {{…}}, "index": N}}, as a '
            "reasoning_gym stage writes it"
        )
    return Made(value["task"], value["config"], value["index"])


def make(scorer: Scorer, task: str, config: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The first `count` tasks as rows: `prompt`, `answer`, `task`, and how each was made.

    Raises BurnishError for a name or a configuration that reasoning-gym does not know.
    """
    rows: list[dict[str, Any]] = []
    for start in range(0, count, _CHUNK):
        request = {"task": task, "config": dict(config), "index": start, "stop": min(start + _CHUNK, count)}
        reply = scorer.ask(request, timeout_seconds=_MAKE_SECONDS)
        if reply is None:
            raise BurnishError(f"reasoning-gym takes over {_MAKE_SECONDS:g} s to make {_CHUNK} tasks '{task}'")
        if "unknown" in reply:
            from difflib import get_close_matches

            known = list(map(str, reply["unknown"]))
            near = get_close_matches(task, known, n=3) or known
            raise BurnishError(f"reasoning-gym has no task '{task}'; did you mean {', '.join(near)}?")
        if "error" in reply:
            raise BurnishError(f"reasoning-gym cannot make '{task}' with {dict(config)}: {reply['error']}")
        rows += [
            {
                "prompt": question,
                "answer": answer,
                "task": task,
                KEY: {"task": task, "config": dict(config), "index": start + place},
            }
            for place, (question, answer) in enumerate(reply["made"])
        ]
    return rows


@dataclass(frozen=True)
class Floor:
    """What answers earn that solve nothing, in the mean over tasks.

    empty: no answer. constant: the most frequent answer of all the tasks, given to each. random: the answer of the
    task that follows.
    """

    empty: float
    constant: float
    random: float

    def __str__(self) -> str:
        return (
            f"an empty answer earns {self.empty:.2f}, always the same one {self.constant:.2f}, that of another task "
            f"{self.random:.2f}"
        )

    @property
    def is_zero(self) -> bool:
        """Whether all of them earn nothing."""
        return max(self.empty, self.constant, self.random) <= 0


def floor_of(judge: "GymVerifier", rows: Sequence[Mapping[str, Any]]) -> Floor:
    """The floor of a task, by rows of it."""
    answers = [str(row["answer"]) for row in rows]
    ((usual, _),) = Counter(answers).most_common(1)

    def mean(said: Sequence[str]) -> float:
        judged = judge([Answer([], text, row) for text, row in zip(said, rows, strict=True)])
        return sum(one.score for one in judged) / len(rows)

    return Floor(mean([""] * len(rows)), mean([usual] * len(rows)), mean([*answers[1:], answers[0]]))


@dataclass(frozen=True)
class GymVerifier:
    """Scores an answer by the scorer of its row's task: 1 is right, and some scorers give parts of it.

    partial: whether those parts count; else an answer earns 1 or 0.
    """

    scorer: Scorer
    partial: bool = True
    tags: Tags = R1_TAGS

    def __call__(self, answers: Sequence[Answer], /) -> list[Judgement]:
        """Judge each answer."""
        return [self._score(answer) for answer in answers]

    def _score(self, answer: Answer) -> Judgement:
        how, said = made(answer.row), self.tags.final_answer(answer.text).strip()
        request = {"task": how.task, "config": dict(how.config), "index": how.index}
        reply = self.scorer.ask(request | {"question": answer.row.get("prompt"), "answer": said})
        if reply is None:
            return verdict(False, "too slow", f"took longer than {self.scorer.timeout_seconds:g} s to score")
        if "unknown" in reply or "other" in reply:
            there = f"begins with {reply['other']!r}" if "other" in reply else f"has no task '{how.task}'"
            raise DataError(
                f"'{KEY}': made by another version of reasoning-gym, which here {there}; make the file again"
            )
        if "error" in reply:
            return verdict(False, "not scored", str(reply["error"]))
        score = float(reply["score"])
        right = score >= 1
        return Judgement(
            score if self.partial else float(right), right, "correct" if right else "wrong", f"scored {score:g}"
        )
