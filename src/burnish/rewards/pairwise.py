"""A judge model that says which of two answers is better (Zheng 2023, arXiv:2306.05685).

Notable choices:
- every pair is shown in both orders; a judge that only prefers what it reads first calls it a tie (section 3.4 there);
- the verdict is the last `[[A]]`, `[[B]]` or `[[C]]` of what the judge writes, so it may reason before; inside
  `<think>` there is none, also where the reply is cut there;
- an answer without a verdict counts as a tie and is counted; a judge that never gives one is an error.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from burnish.errors import BurnishError
from burnish.rewards.format import without_thoughts

CRITERION = "Prefer the answer that is more helpful, correct, relevant and clear. Length alone is no merit."

_INSTRUCTION = """\
You compare two answers of AI assistants to the last message of a conversation. {criterion}
The order of the answers means nothing. Explain in a few sentences, then end with your verdict: [[A]] if answer A is \
better, [[B]] if answer B is better, [[C]] if they are equally good."""
_QUESTION = """\
<conversation>
{conversation}
</conversation>
<answer_A>
{a}
</answer_A>
<answer_B>
{b}
</answer_B>"""
_VERDICT = re.compile(r"\[\[([ABC])\]\]")
_SHARE = {"A": 1.0, "B": 0.0, "C": 0.5}

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class AnswerPair:
    """Two answers to one conversation, to be judged."""

    prompt: Messages
    first: str
    second: str


@dataclass(frozen=True)
class PairVerdict:
    """What both orders say together.

    share: 1 where both prefer the first answer, 0 where both prefer the second, else between: 0.5 is a tie.
    unclear: how many of the two replies had no verdict.
    """

    share: float
    unclear: int = 0


@dataclass(frozen=True)
class PairwiseJudge:
    """Compares answers by asking a model.

    ask: from messages to what the model writes, such as `ChatEndpoint.ask`; called by several threads at once.
    concurrency: requests that wait at the same time.
    """

    ask: Callable[[Messages], str]
    criterion: str = CRITERION
    concurrency: int = 4

    def judge(
        self, comparisons: Sequence[AnswerPair], *, on_progress: Callable[[int], None] = lambda _: None
    ) -> list[PairVerdict]:
        """Judge every comparison; equal answers are a tie and not asked about.

        on_progress is told how many are done. Raises BurnishError where no reply at all has a verdict.
        """
        judgements = []
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            for done, judgement in enumerate(pool.map(self._judge, comparisons), start=1):
                judgements.append(judgement)
                on_progress(done)
        finally:
            # After Ctrl-C nobody wants to wait for replies on their way.
            pool.shutdown(wait=False, cancel_futures=True)
        replies = sum(2 for one in comparisons if one.first != one.second)
        if replies and sum(one.unclear for one in judgements) == replies:
            raise BurnishError(
                f"none of the judge's {replies} replies ends with a verdict, [[A]], [[B]] or [[C]]; take a model that "
                "follows instructions, or allow it longer answers (max_tokens)"
            )
        return judgements

    def _judge(self, one: AnswerPair) -> PairVerdict:
        if one.first == one.second:
            return PairVerdict(0.5)
        forth = self._verdict(one.prompt, one.first, one.second)
        back = self._verdict(one.prompt, one.second, one.first)
        shares = [0.5 if forth is None else _SHARE[forth], 0.5 if back is None else 1 - _SHARE[back]]
        return PairVerdict(sum(shares) / 2, (forth is None) + (back is None))

    def _verdict(self, prompt: Messages, a: str, b: str) -> str | None:
        reply = self.ask(
            [
                {"role": "system", "content": _INSTRUCTION.format(criterion=self.criterion)},
                {"role": "user", "content": _QUESTION.format(conversation=conversation_text(prompt), a=a, b=b)},
            ]
        )
        found = _VERDICT.findall(without_thoughts(reply))
        return found[-1] if found else None


def conversation_text(prompt: Messages) -> str:
    """A conversation as a judge reads it."""
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt)


def round_robin(prompt: Messages, answers: Sequence[str]) -> list[tuple[tuple[int, int], AnswerPair]]:
    """Every pair of answers to one prompt, with their places."""
    return [
        ((i, j), AnswerPair(prompt, answers[i], answers[j]))
        for i in range(len(answers))
        for j in range(i + 1, len(answers))
    ]


def scores(n_answers: int, judged: Sequence[tuple[tuple[int, int], PairVerdict]]) -> list[float]:
    """For each of a prompt's answers the mean share that it won of its comparisons, from 0 to 1."""
    won = [0.0] * n_answers
    for (i, j), judgement in judged:
        won[i] += judgement.share
        won[j] += 1 - judgement.share
    return [total / max(1, n_answers - 1) for total in won]
