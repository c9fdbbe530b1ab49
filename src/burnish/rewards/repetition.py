"""A penalty for saying the same again (Yeo 2025, arXiv:2502.03373, algorithm 1)."""

from collections.abc import Sequence

from burnish.generation.answer import Answer
from burnish.rewards.judgement import Judge, Judgement


def repeated(tokens: Sequence[int], n: int) -> tuple[list[bool], int]:
    """Of each token whether it stands in an n-gram that has been there before; and how many such n-grams there are."""
    seen: set[tuple[int, ...]] = set()
    marked, again = [False] * len(tokens), 0
    for start in range(len(tokens) - n + 1):
        ngram = tuple(tokens[start : start + n])
        if ngram in seen:
            again += 1
            marked[start : start + n] = [True] * n
        seen.add(ngram)
    return marked, again


def by_repetition(*, n: int, penalty: float, by_token: bool) -> Judge:
    """Judge answers by their repeated n-grams of tokens.

    by_token: each token of a repeated n-gram earns `penalty`, as in the paper, and the others 0. Else an answer earns
    `penalty` times the share of its n-grams that have been there before.
    """

    def judge(answers: Sequence[Answer], /) -> list[Judgement]:
        return [_judged(answer.tokens) for answer in answers]

    def _judged(tokens: Sequence[int]) -> Judgement:
        marked, again = repeated(tokens, n)
        if by_token:
            scores = [penalty if one else 0.0 for one in marked]
            return Judgement(sum(scores), token_scores=scores)
        return Judgement(penalty * again / max(1, len(tokens) - n + 1))

    return judge
