"""A question with the passages that answer it, as a model is asked, and what an answer cites of them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from burnish.retrieval.index import Hit, Index
from burnish.retrieval.settings import PASSAGE_TOKENS, Ranking

_AROUND = (
    "Answer the question from the passages below, and name those that you use by their numbers, such as [1].\n\n"
    "{passages}\n\nQuestion: {question}"
)
_CITED = re.compile(r"\[(\d+(?:\s*,\s*\d+)*)\]")


@dataclass(frozen=True)
class Grounded:
    """A question with passages. hits: those in the prompt, in order of their numbers. left_out: those without room."""

    prompt: str
    hits: tuple[Hit, ...]
    left_out: int = 0


@dataclass(frozen=True, eq=False)
class Passages:
    """Where the passages for questions come from, and how many. max_tokens: of all together, the model's."""

    index: Index
    k: int = 4
    max_tokens: int = PASSAGE_TOKENS
    ranking: Ranking | None = None

    def ground(self, question: str, count: Callable[[str], int], *, room: int | None = None) -> Grounded:
        """The question with its passages.

        count: tokens of a text, as the model that is asked has them. room: how many tokens its context has left beside
        question and answer.
        """
        hits = self.index.search(question, k=self.k, ranking=self.ranking)
        most = self.max_tokens if room is None else min(self.max_tokens, room)
        return ground(question, hits, count, max_tokens=most)


def ground(
    question: str, hits: Sequence[Hit], count: Callable[[str], int], *, max_tokens: int = PASSAGE_TOKENS
) -> Grounded:
    """The question behind as many of the passages, the best first, as fit into `max_tokens` tokens by `count`.

    What is said around them counts too. Without passages the prompt is the question as it is.
    """
    shown: list[str] = []
    room = max_tokens - count(_AROUND.format(passages="", question=""))
    for number, hit in enumerate(hits, start=1):
        passage = f"[{number}] {hit.place}\n{hit.text.strip()}"
        room -= count(f"{passage}\n\n")
        if room < 0:
            break
        shown.append(passage)
    if not shown:
        return Grounded(question, (), len(hits))
    prompt = _AROUND.format(passages="\n\n".join(shown), question=question)
    return Grounded(prompt, tuple(hits[: len(shown)]), len(hits) - len(shown))


def cited(answer: str, n_passages: int) -> list[int]:
    """The numbers of passages that an answer names, such as `[2]` or `[1, 3]`, in their order; others do not count."""
    numbers = {int(number) for found in _CITED.findall(answer) for number in re.split(r"\s*,\s*", found)}
    return sorted(number for number in numbers if 1 <= number <= n_passages)
