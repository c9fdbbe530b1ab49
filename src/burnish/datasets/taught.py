"""What a student is taught on: prompts with an answer, or alone where answers are to be sampled.

Notable choices:
- of a conversation its last answer is learned, as in TRL's GKD; what was said before is the prompt;
- a teacher may see another system prompt than the student: the same answers stand behind both prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from burnish.datasets.answers import OnLong, check_carried, fit_answers, judged_tokens
from burnish.datasets.batches import Batch
from burnish.datasets.report import Account, DropError, Report, encode_all
from burnish.datasets.rows import Conversation, Labelled, Task
from burnish.text.chat import Message, encode_question
from burnish.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class TaughtExample:
    """Token ids of a prompt, of the answer that follows it, and of the prompt as the teacher sees it.

    task: the prompt as messages. answer: empty where only sampled ones are learned from. teacher_prompt: None where it
    is the same.
    """

    task: Task
    prompt: list[int]
    answer: list[int]
    teacher_prompt: list[int] | None = None

    @property
    def sequences(self) -> list[list[int]]:
        """The prompt with the answer, as the only one."""
        return [self.prompt + self.answer]

    @property
    def masks(self) -> list[list[bool]]:
        """True where a token belongs to the answer."""
        return [_mask(self.prompt, self.answer)]

    @property
    def seen_by_teacher(self) -> list[int]:
        """The prompt that the teacher is asked behind."""
        return self.prompt if self.teacher_prompt is None else self.teacher_prompt


@dataclass(frozen=True, eq=False)
class TaughtBatch(Batch):
    """A batch, and the same answers, entry by entry, behind the prompts that the teacher sees; None: the same ones."""

    taught: Batch | None = None

    @classmethod
    def of(cls, batch: Batch, examples: Sequence[TaughtExample]) -> Self:
        """The batch whose rows are these examples, for the teacher as well."""
        taught = None
        if any(one.teacher_prompt is not None for one in examples):
            taught = Batch.from_rows(
                [[*one.seen_by_teacher, *one.answer] for one in examples],
                [_mask(one.seen_by_teacher, one.answer) for one in examples],
            )
        return cls(batch.forest, batch.scored, batch.entries, batch.rows, batch.n_rows, batch.columns, None, taught)

    def to(self, device: torch.device) -> Self:
        if self.scored.device == device:
            return self
        return replace(super().to(device), taught=None if self.taught is None else self.taught.to(device))


def _mask(prompt: list[int], answer: list[int]) -> list[bool]:
    return [False] * len(prompt) + [True] * len(answer)


def taught_examples(
    rows: Sequence[Conversation | Task],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    on_long: OnLong = "drop",
    room: int = 0,
    teacher_system: str | None = None,
) -> tuple[list[TaughtExample], Report]:
    """Encode prompts, those of conversations with their last answer.

    Args:
        max_length: tokens of a prompt with its answer; with `on_long="cut"` an answer loses its end, a prompt never.
        room: tokens that a sampled answer may have, which every prompt must leave.
        teacher_system: the system prompt of the teacher, in the place of the student's.
    """

    def encode(row: Conversation | Task, account: Account) -> TaughtExample:
        task = row if isinstance(row, Task) else _as_task(row)
        prompt, answer = _tokens(row, task.prompt, tokenizer, account)
        if answer:
            (answer,) = fit_answers(
                prompt, ["answer"], [answer], account, max_length, on_long, tokenizer.context_length
            )
        if len(prompt) + max(room, 1) > max_length:
            raise DropError(
                f"the prompt has {len(prompt)} tokens and leaves no room for {max(room, 1)} new ones in {max_length}"
            )
        if teacher_system is None:
            return TaughtExample(task, prompt, answer)
        asked: list[Message] = [{"role": "system", "content": teacher_system}, *_without_system(task.prompt)]
        seen, _ = _tokens(row, asked, tokenizer, Account(Report(), row.place))
        return TaughtExample(task, prompt, answer, seen)

    return encode_all(rows, encode)


def _as_task(row: Conversation) -> Task:
    return Task(row.messages[:-1], {}, row.tools, row.place, None, row.template_kwargs)


def _without_system(prompt: list[Message]) -> list[Message]:
    return prompt[1:] if prompt and prompt[0]["role"] in ("system", "developer") else prompt


def _tokens(
    row: Conversation | Task, prompt: list[Message], tokenizer: Tokenizer, account: Account
) -> tuple[list[int], list[int]]:
    """A prompt and the row's answer to it as tokens; no answer of a task."""
    if isinstance(row, Task):
        encoding = encode_question(tokenizer, prompt, tools=row.tools, variables=row.template_kwargs)
        check_carried(encoding, prompt)
        for remark in encoding.remarks:
            account.note(remark)
        return encoding.tokens, []
    answer = row.messages[-1:]
    answered = Labelled(prompt, answer, True, row.tools, row.place, template_kwargs=row.template_kwargs)
    tokens, (learned,) = judged_tokens(answered, {"answer": answer}, tokenizer, account)
    return tokens, learned
