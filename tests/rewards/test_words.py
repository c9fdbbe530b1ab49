"""Words are counted whole, in any case; where a script sets no spaces, wherever they stand."""

import pytest

from burnish.generation.answer import Answer
from burnish.rewards.words import REFLECTION, CountedWords


@pytest.mark.parametrize(
    ("text", "words", "count"),
    [
        ("Wait, I was wrong: check 3+4. WAIT", REFLECTION, 4),
        ("waiting for the checkers, buttered", REFLECTION, 0),
        ("先个位等等，再检查检查", ("等等", "检查"), 3),
        ("a+b is a plus b", ("a+b", "a"), 2),
        ("", REFLECTION, 0),
    ],
)
def test_words_are_counted(text: str, words: tuple[str, ...], count: int) -> None:
    (judgement,) = CountedWords(words)([Answer([{"role": "user", "content": "wait"}], text)])
    assert (judgement.score, judgement.correct) == (count, None)
