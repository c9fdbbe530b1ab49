"""A few prompts, answered greedily before and after a training: what there is to read where nothing judges answers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from burnish.files import atomic_write_text
from burnish.runs.names import SHOWN_FILE
from burnish.runs.run import Run

if TYPE_CHECKING:
    from burnish.datasets.examples import Example
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

PROMPTS = 4
CANDIDATES = 32
MAX_NEW_TOKENS = 64
BEGINNING = 32
"""Tokens of a held-out document that a model is to continue."""


Row = TypeVar("Row")


@dataclass(frozen=True)
class Asked:
    """Token ids of a prompt and of what the data answers to it."""

    prompt: list[int]
    expected: list[int]


def say_limit(run: Run, limit: str | None) -> None:
    """Say on the terminal what a training cannot do, before it begins."""
    if limit is not None:
        run.display.say(f"  {limit}", style="dim")


def last_turn(example: "Example") -> Asked:
    """What comes before the last thing to imitate, and that."""
    start = max(i for i, learned in enumerate(example.mask) if learned and not (i and example.mask[i - 1]))
    return Asked(example.tokens[:start], example.tokens[start:])


def beginning(document: list[int]) -> Asked:
    """A document's beginning, at most half of it, which the model is to continue."""
    end = min(BEGINNING, len(document) // 2)
    return Asked(document[:end], document[end : end + MAX_NEW_TOKENS])


class ShownAnswers:
    """The prompts of a training, spread evenly over its data, and what the model says to them.

    rows, asked: the training's data, and what each of it asks. heldout: whether the model is not trained on it. A
    prompt that leaves the model's context no room for an answer is passed over. An interrupted training asks again
    only after it.
    """

    def __init__(
        self,
        run: Run,
        decoder: "Decoder",
        tokenizer: "Tokenizer",
        rows: Sequence[Row],
        asked: Callable[[Row], Asked],
        *,
        heldout: bool,
    ) -> None:
        limit = (tokenizer.context_length or decoder.config.max_positions) - MAX_NEW_TOKENS
        fitting = [one for one in map(asked, _spread(rows, CANDIDATES)) if 0 < len(one.prompt) <= limit]
        self.run, self.decoder, self.tokenizer, self.heldout = run, decoder, tokenizer, heldout
        self.asked = _spread(fitting, PROMPTS)
        self.before: list[str] = run.remembered("shown-before", self._answers)

    def write(self) -> None:
        """Ask again and write `shown.jsonl`; the decoder is the trained one by now."""
        rows = [
            {
                "prompt": self.tokenizer.decode(one.prompt).strip(),
                "expected": self.tokenizer.decode(one.expected).strip(),
                "before": before,
                "after": after,
                "heldout": self.heldout,
            }
            for one, before, after in zip(self.asked, self.before, self._answers(), strict=True)
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        atomic_write_text(self.run.folder / SHOWN_FILE, lines)

    def _answers(self) -> list[str]:
        from burnish.generation.engine import generate
        from burnish.generation.sampling import Sampling

        if not self.asked:
            return []
        sampling = Sampling(temperature=0.0, max_new_tokens=MAX_NEW_TOKENS, stop=self.tokenizer.stop_ids)
        completions = generate(self.decoder, [one.prompt for one in self.asked], sampling)
        return [
            self.tokenizer.decode(group[0].tokens).strip() + ("" if group[0].stop is not None else " …")
            for group in completions
        ]


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """At most `count` of the rows, evenly spread."""
    return [rows[place] for place in sorted({i * len(rows) // count for i in range(count)})] if rows else []
