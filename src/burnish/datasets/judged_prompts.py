"""Judgements of answers → rows to train on: preferences, labelled answers, and answers to imitate.

Notable choices:
- what several people say of one answer is counted: the majority holds, and a tie teaches nothing and is named;
- a correction is better than the answer that it corrects, and itself an answer to imitate;
- an answer that was found good and another one to the same prompt that was found bad are a preference, too;
- rows are the same whatever order the judgements came in.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from burnish.datasets.feedback import Answered, Judged

Messages = list[dict[str, Any]]
Change = Callable[[str], str]


@dataclass(slots=True)
class JudgedPrompt:
    """A prompt and everything that was said of answers to it.

    good, bad: by answer, how often it was found so. better: how often the first answer was found better than the
    second. corrections: answer and what should have been said. numbers: of the judgements.
    """

    prompt: Messages
    good: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    better: Counter[tuple[str, str]] = field(default_factory=Counter)
    corrections: Counter[tuple[str, str]] = field(default_factory=Counter)
    numbers: list[int] = field(default_factory=list)

    @property
    def question(self) -> str:
        """The last thing that the user said."""
        said = [str(message.get("content") or "") for message in self.prompt if message["role"] == "user"]
        return said[-1] if said else ""

    def add(self, judged: Judged, answer: str, than: str | None) -> None:
        """Count one judgement of an `answer`; than: the one that it was better than."""
        self.numbers.append(judged.number)
        if judged.kind == "good":
            self.good[answer] += 1
        elif judged.kind == "bad":
            self.bad[answer] += 1
        elif judged.kind == "better":
            assert than is not None
            self.better[answer, than] += 1
        else:
            assert judged.text is not None
            self.corrections[answer, judged.text] += 1

    def changed(self, change: Change) -> "JudgedPrompt":
        """The same with every text passed through `change`; what becomes equal is counted together."""
        prompt = [
            {key: change(value) if key == "content" and isinstance(value, str) else value for key, value in one.items()}
            for one in self.prompt
        ]
        found = JudgedPrompt(prompt, numbers=list(self.numbers))
        for own, new in ((self.good, found.good), (self.bad, found.bad)):
            for text, count in own.items():
                new[change(text)] += count
        for own_pairs, new_pairs in ((self.better, found.better), (self.corrections, found.corrections)):
            for (one, other), count in own_pairs.items():
                new_pairs[change(one), change(other)] += count
        return found

    def texts(self) -> list[str]:
        """Every text in it, each once, in a fixed order: messages first."""
        found = [str(message["content"]) for message in self.prompt if isinstance(message.get("content"), str)]
        answers = {*self.good, *self.bad, *(text for pair in (*self.better, *self.corrections) for text in pair)}
        return list(dict.fromkeys([*found, *sorted(answers)]))

    def labels(self) -> dict[str, bool]:
        """Answers that are good (True) or bad by the majority; a correction is good, and what it corrects bad."""
        score = self._scores()
        return {answer: score[answer] > 0 for answer in sorted(score) if score[answer]}

    def pairs(self, most: int) -> list[tuple[str, str]]:
        """Up to `most` pairs of a better and a worse answer, those that most people stand behind first."""
        score: Counter[tuple[str, str]] = Counter()
        for (one, other), count in (*self.better.items(), *((pair[::-1], n) for pair, n in self.corrections.items())):
            if one != other:
                score[one, other] += count
                score[other, one] -= count
        labels = self.labels()
        for good in (answer for answer, label in labels.items() if label):
            for bad in (answer for answer, label in labels.items() if not label):
                score.setdefault((good, bad), 0 if (bad, good) in score else 1)
        kept = [pair for pair, count in score.items() if count > 0]
        return sorted(kept, key=lambda pair: (-score[pair], pair))[:most]

    def contradictions(self) -> int:
        """Answers and pairs of which as many people said the one as the other."""
        scores = self._scores()
        ties = sum(not scores[answer] for answer in scores)
        return ties + sum(self.better[other, one] == count for (one, other), count in self.better.items()) // 2

    def imitated(self) -> list[str]:
        """Answers to imitate: corrections, and what was found good where nobody corrected it."""
        labels = self.labels()
        corrections = {text for _, text in self.corrections if labels.get(text, True)}
        return sorted(corrections or {answer for answer, label in labels.items() if label})

    def _scores(self) -> Counter[str]:
        score: Counter[str] = Counter()
        for answer, count in self.good.items():
            score[answer] += count
        for answer, count in self.bad.items():
            score[answer] -= count
        for (answer, text), count in self.corrections.items():
            if answer != text:
                score[answer] -= count
                score[text] += count
        return score


def judged_prompts(found: Iterable[tuple[Judged, Answered, str | None]]) -> list[JudgedPrompt]:
    """Judgements by prompt, prompts in a fixed order. found: each with its answer, and the text of the other one."""
    prompts: dict[str, JudgedPrompt] = {}
    for judged, answered, other in found:
        messages = [dict(message) for message in answered.prompt]
        key = json.dumps(messages, sort_keys=True, ensure_ascii=False)
        prompts.setdefault(key, JudgedPrompt(messages)).add(judged, answered.answer, other)
    return [prompts[key] for key in sorted(prompts)]


def is_held_out(one: JudgedPrompt, share: float, seed: int) -> bool:
    """Whether a prompt is kept for measuring: by a hash of its question, so for good, and for every round alike."""
    digest = sha256(f"{seed}/{comparable(one.question)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def comparable(text: str) -> str:
    """A text without what does not tell questions apart: case, white space, punctuation, ways to write a letter."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


def preferences(prompts: Iterable[JudgedPrompt], most: int) -> Iterator[dict[str, Any]]:
    """Rows for `dpo`: prompt, chosen, rejected."""
    for one in prompts:
        for chosen, rejected in one.pairs(most):
            yield {"prompt": one.prompt, "chosen": _said(chosen), "rejected": _said(rejected)}


def labelled(prompts: Iterable[JudgedPrompt]) -> Iterator[dict[str, Any]]:
    """Rows for `kto`: prompt, completion, label."""
    for one in prompts:
        for answer, label in one.labels().items():
            yield {"prompt": one.prompt, "completion": _said(answer), "label": label}


def conversations(prompts: Iterable[JudgedPrompt]) -> Iterator[dict[str, Any]]:
    """Rows for `sft`: messages."""
    for one in prompts:
        for answer in one.imitated():
            yield {"messages": [*one.prompt, *_said(answer)]}


def _said(text: str) -> Sequence[Mapping[str, Any]]:
    return [{"role": "assistant", "content": text}]
