"""A judge model that rates single answers (Zheng 2023, arXiv:2306.05685, section 3.1: single answer grading).

Notable choices:
- the rating is the last `[[N]]`, N from 1 to 10, of what the judge writes, so it may reason before;
- the score is N / 10; a reply without a rating counts as one in the middle and is counted; none at all is an error.
"""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from burnish.errors import BurnishError
from burnish.generation.answer import Answer
from burnish.rewards.format import without_thoughts
from burnish.rewards.judgement import Judgement
from burnish.rewards.pairwise import Messages, conversation_text
from burnish.rewards.texts import expected_texts

UNCLEAR = "no rating"
"""The reason of a judgement whose reply had no rating."""
HIGHEST = 10
_MIDDLE = 5.5

_INSTRUCTION = """\
You rate an answer of an AI assistant to the last message of a conversation. {criterion}
Explain in a few sentences, then end with your rating from [[1]], useless, to [[10]], perfect."""
_QUESTION = """\
<conversation>
{conversation}
</conversation>
{expected}<answer>
{answer}
</answer>"""
_RATING = re.compile(r"\[\[(10|[1-9])(?:\.0)?\]\]")


@dataclass(frozen=True)
class RatingJudge:
    """Rates answers by asking a model.

    ask: from messages to what the model writes; called by several threads at once. concurrency: requests that wait at
    the same time. expected: key of the row with an answer that is known to be good, which the judge is shown.
    """

    ask: Callable[[Messages], str]
    criterion: str
    concurrency: int = 4
    expected: str | None = None

    def __call__(
        self, answers: Sequence[Answer], /, *, on_progress: Callable[[int], None] = lambda _: None
    ) -> list[Judgement]:
        """Rate each answer. Raises BurnishError where no reply at all has a rating."""
        judgements = []
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            for done, judgement in enumerate(pool.map(self._rate, answers), start=1):
                judgements.append(judgement)
                on_progress(done)
        finally:
            # After Ctrl-C nobody wants to wait for replies on their way.
            pool.shutdown(wait=False, cancel_futures=True)
        if judgements and all(one.reason == UNCLEAR for one in judgements):
            raise BurnishError(
                f"none of the judge's {len(judgements)} replies ends with a rating, [[1]] to [[10]]; take a model that "
                "follows instructions, or allow it longer answers (max_tokens)"
            )
        return judgements

    def _rate(self, answer: Answer) -> Judgement:
        expected = ""
        if self.expected is not None:
            text = "\n".join(expected_texts(answer.row, self.expected))
            expected = f"<reference_answer>\n{text}\n</reference_answer>\n"
        return rating(self.ask(rating_question(answer, self.criterion, expected)))


def rating_question(answer: Answer, criterion: str, expected: str = "") -> list[dict[str, str]]:
    """The messages that ask for a rating of an answer."""
    content = _QUESTION.format(conversation=conversation_text(answer.prompt), expected=expected, answer=answer.text)
    return [
        {"role": "system", "content": _INSTRUCTION.format(criterion=criterion)},
        {"role": "user", "content": content},
    ]


def rating(reply: str) -> Judgement:
    """What a reply says: the last rating in it, of 0.1 to 1; in the middle, with the reason, where it has none."""
    found = _RATING.findall(without_thoughts(reply))
    number = float(found[-1]) if found else _MIDDLE
    return Judgement(number / HIGHEST, reason="rated" if found else UNCLEAR, detail=reply[-500:])
