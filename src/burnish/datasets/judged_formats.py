"""The formats of judged answers: pairs, ranked lists, single answers with a label, answers with a label for each step.

| format | keys |
| --- | --- |
| pairs | a prompt in any format, `chosen` and `rejected`; or both as whole conversations, or as HH's dialogues |
| ranked lists | a prompt in any format, `responses` or `completions`: best first, or with `ranks` or `scores` |
| unpaired | a conversation in any format, `label` (LLaMA-Factory: `kto_tag`) |
| stepwise | a prompt in any format, `completions`: the steps of one answer, `labels`: one for each (TRL) |

A row that is well-formed but teaches nothing, such as a pair of equal answers, has a fault instead of an error: large
files hold some, and one of them must not stop a run. What encodes the rows drops and reports those.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from burnish.corpus.records import shown
from burnish.datasets.bad_rows import BadRowError, NothingToLearnError
from burnish.datasets.dialogues import dialogue_pair, is_dialogue
from burnish.datasets.fields import present
from burnish.datasets.formats import (
    FORMATS,
    LABEL_KEYS,
    LIST_KEYS,
    MARGIN_KEYS,
    PAIR_KEYS,
    RANK_KEYS,
    STEP_KEYS,
    answer,
    answer_hint,
    messages_before_answer,
    prompt_key,
    with_system,
)
from burnish.datasets.messages import hint, message, read_messages, require_end
from burnish.text.chat import Message

_WRITTEN = {"true": True, "1": True, "false": False, "0": False}


class PreferencePair(NamedTuple):
    """A prompt and two answers to it, each one assistant message. fault: why the row cannot be used, if so."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message]
    fault: str | None


class Ranked(NamedTuple):
    """A prompt and its answers, the best first. remark: what was left out of the row, if anything."""

    prompt: list[Message]
    answers: list[list[Message]]
    fault: str | None
    remark: str | None


class LabelledSteps(NamedTuple):
    """A prompt and an answer's steps, with how right each is, 0 to 1; None where that is not said."""

    prompt: list[Message]
    steps: list[str]
    labels: list[float | None]
    fault: str | None


def preference(row: Mapping[str, Any]) -> PreferencePair:
    """Return the pair of a row.

    `chosen` and `rejected` may be text, a message, a list with one message, or whole conversations, whose
    shared beginning is then the prompt (TRL's implicit prompt).
    """
    for key in PAIR_KEYS:
        if not present(row, key):
            if key in row:
                raise NothingToLearnError(f"{key} is null")
            raise BadRowError(f'"{key}" is missing{answer_hint(key, row)}; a preference has "chosen" and "rejected"')
    if not any(present(row, key) for key in FORMATS) and all(is_dialogue(row[key]) for key in PAIR_KEYS):
        pair = _pair_of_dialogues(row["chosen"], row["rejected"])
        return pair._replace(prompt=with_system(row, pair.prompt))
    chosen, rejected = (answer(row[key], key, may_be_empty=True) for key in PAIR_KEYS)
    if len(chosen) > 1 or len(rejected) > 1:
        prompt, chosen, rejected = split_shared(chosen, rejected)
        prompt = _with_stated_prompt(row, prompt)
    else:
        if not any(present(row, key) for key in FORMATS):
            raise BadRowError(f'"prompt" is missing{answer_hint("prompt", row)}; the answers hold no prompt either')
        prompt = read_prompt(row)
    return PreferencePair(prompt, chosen, rejected, pair_fault(chosen, rejected))


def _pair_of_dialogues(chosen: str, rejected: str) -> PreferencePair:
    found = dialogue_pair(chosen, rejected)
    if found is None:
        fault = "the dialogues chosen and rejected differ in more than the assistant's last answer"
        return PreferencePair([message("user", chosen, "chosen")], [], [], fault)
    prompt, good, bad = found
    better, worse = answer(good, "chosen", may_be_empty=True), answer(bad, "rejected", may_be_empty=True)
    return PreferencePair(prompt, better, worse, pair_fault(better, worse))


def _with_stated_prompt(row: Mapping[str, Any], shared: list[Message]) -> list[Message]:
    """What two conversations share, with what the row says beside them of the prompt.

    They may hold the prompt, as a row may say once more (the last question as text, or messages), or only what follows
    it, such as a call and its result.
    """
    if shared[0]["role"] not in ("system", "user"):
        if not any(present(row, key) for key in FORMATS):
            raise BadRowError(f'"prompt" is missing{answer_hint("prompt", row)}; the answers hold no prompt either')
        return read_prompt(row) + shared
    stated = row["prompt"] if present(row, "prompt") else None
    if isinstance(stated, list):
        said = read_messages(stated, "prompt")
        if said[-len(shared) :] == shared:  # with a system prompt before them
            return with_system(row, said)
        held = any(shared[start : start + len(said)] == said for start in range(len(shared)))
    else:
        held = stated is None or any(message["content"] == stated for message in shared)
    if not held:
        raise BadRowError('"prompt" is not what "chosen" and "rejected" begin with; leave it out or mend it')
    return with_system(row, shared)


def pair_fault(chosen: Sequence[Message], rejected: Sequence[Message]) -> str | None:
    """Return why a pair teaches nothing, None if it does."""
    empty = [name for name, said in zip(PAIR_KEYS, (chosen, rejected), strict=True) if is_empty(said[-1])]
    if empty:
        return f"the {' and the '.join(empty)} answer {'is' if len(empty) == 1 else 'are'} empty"
    if chosen == rejected:
        return f"chosen and rejected are equal ({shown(chosen[-1]['content'])})"
    return None


def is_empty(said: Message) -> bool:
    """Whether an answer neither says nor does anything."""
    content = said["content"]
    return not said.get("tool_calls") and not (content.strip() if isinstance(content, str) else content)


def margin(row: Mapping[str, Any]) -> float | None:
    """Return by how much the chosen answer is better: `margin`, or the difference of the two scores; None if unsaid."""
    numbers = {key: _number(row[key]) for key in MARGIN_KEYS if present(row, key)}
    for key, number in numbers.items():
        if number is None:
            raise BadRowError(f"{key} is {shown(row[key])}; expected a number")
    margin, chosen, rejected = (numbers.get(key) for key in MARGIN_KEYS)
    if margin is None and chosen is not None and rejected is not None:
        return chosen - rejected
    return margin


def _number(value: object) -> float | None:
    """A number, also one written as text, as a table of text such as CSV has it; None where it is none."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return float(value) if _is_number(value) else None


def contradiction(row: Mapping[str, Any]) -> str | None:
    """Return what to say of a pair whose own numbers say that the rejected answer is the better one; else None."""
    margin, chosen, rejected = (_number(row.get(key)) for key in MARGIN_KEYS)
    if margin is not None and margin < 0:
        return f"margin is {shown(row.get('margin'))}: by it the rejected answer is the better one"
    if chosen is not None and rejected is not None and chosen < rejected:
        said = " and ".join(f"{key} {shown(row.get(key))}" for key in MARGIN_KEYS[1:])
        return f"{said}: by them the rejected answer is the better one"
    return None


def ranking(row: Mapping[str, Any]) -> Ranked:
    """Return the ranked answers of a row: a list of them or a pair."""
    key = next((name for name in LIST_KEYS if present(row, name)), None)
    if key is None:
        if not any(present(row, name) for name in PAIR_KEYS):
            raise BadRowError(
                f'"chosen" and "rejected" are missing{hint("chosen", row)}, and so is a ranked list ("responses")'
            )
        pair = preference(row)
        return Ranked(pair.prompt, [pair.chosen, pair.rejected], pair.fault, contradiction(row))
    if isinstance(row.get("labels"), list) and not any(present(row, name) for name in RANK_KEYS):
        raise BadRowError(
            f'"{key}" with "labels" are the steps of one answer (stepwise supervision), which the stage '
            'process_reward_model reads; a ranked list has "ranks" or "scores"'
        )
    values = row[key]
    if not isinstance(values, list) or not values:
        raise BadRowError(f"{key} is {shown(values)}; expected a list of answers, the best first")
    answers = [answer(value, f"{key}[{index}]", may_be_empty=True) for index, value in enumerate(values)]
    for index, one in enumerate(answers):
        if len(one) > 1:
            raise BadRowError(f"{key}[{index}] is a conversation of {len(one)} messages; expected one answer")
    kept, remark = _worth_ranking(answers, _goodness(row, key, len(answers)))
    fault = None
    if len(kept) < 2:
        fault, remark = f"{key} holds fewer than two answers to tell apart" + (f": {remark}" if remark else ""), None
    return Ranked(read_prompt(row), kept, fault, remark)


def _goodness(row: Mapping[str, Any], key: str, n_answers: int) -> list[float]:
    """For each answer a number that is larger for better ones."""
    rank_key = next((name for name in RANK_KEYS if present(row, name)), None)
    if rank_key is None:
        return [-float(place) for place in range(n_answers)]
    values = row[rank_key]
    if not isinstance(values, list) or not all(map(_is_number, values)):
        raise BadRowError(f"{rank_key} is {shown(values)}; expected a list of numbers, one for each of {key}")
    if len(values) != n_answers:
        raise BadRowError(f"{rank_key} has {len(values)} numbers for the {n_answers} answers of {key}")
    return [float(value) if rank_key == "scores" else -float(value) for value in values]


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that a float can hold: not NaN or infinite, nor a whole one of 400 digits."""
    try:
        return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:
        return False


def _worth_ranking(answers: list[list[Message]], goodness: list[float]) -> tuple[list[list[Message]], str | None]:
    """The answers from best to worst without those that are empty, repeated, or as good as one before them."""
    kept: list[int] = []
    left_out: list[str] = []
    for index in sorted(range(len(answers)), key=lambda index: -goodness[index]):
        if is_empty(answers[index][-1]):
            left_out.append(f"answer {index + 1} is empty")
        elif any(answers[index] == answers[other] for other in kept):
            left_out.append(f"answer {index + 1} repeats a better one")
        elif kept and goodness[kept[-1]] == goodness[index]:
            left_out.append(f"answer {index + 1} is ranked like answer {kept[-1] + 1}")
        else:
            kept.append(index)
    return [answers[index] for index in kept], f"left out: {', '.join(left_out)}" if left_out else None


def read_prompt(row: Mapping[str, Any]) -> list[Message]:
    """Return the messages that are answered."""
    key = prompt_key(row, ("prompt", "conversations", "instruction", "messages"))
    prompt = messages_before_answer(row, key)
    require_end(prompt, key, ("user", "tool"))
    return prompt


def label(row: Mapping[str, Any]) -> bool:
    """Return whether an unpaired answer is a desired one."""
    key = next((name for name in LABEL_KEYS if present(row, name)), None)
    if key is None:
        if null := next((name for name in LABEL_KEYS if name in row), None):
            raise NothingToLearnError(f"{null} is null")
        raise BadRowError(f'"label" is missing{hint("label", row)}; expected true (desired) or false')
    value = row[key]
    if isinstance(value, str):  # a table of text, such as CSV, has no other way to write it
        value = _WRITTEN.get(value.strip().casefold(), value)
    if value not in (True, False) or isinstance(value, float):
        raise BadRowError(f"{key} is {shown(value)}; expected true (desired) or false")
    return bool(value)


def stepwise(row: Mapping[str, Any]) -> LabelledSteps:
    """Return the steps of an answer with their labels."""
    steps_key, labels_key = STEP_KEYS
    for key, what in ((steps_key, "the steps of an answer"), (labels_key, "a label for each of completions")):
        if not isinstance(row.get(key), list) or not row[key]:
            if present(row, key):
                raise BadRowError(f"{key} is {shown(row[key])}; expected a list, {what}")
            if key in row:
                raise NothingToLearnError(f"{key} is null")
            raise BadRowError(f'"{key}" is missing{hint(key, row)}; expected a list, {what}')
    steps, labels = row[steps_key], row[labels_key]
    if len(labels) != len(steps):
        raise BadRowError(
            f"{labels_key} has length {len(labels)}, but {steps_key} has {len(steps)} steps; give a label for each"
        )
    for place, step in enumerate(steps):
        if not isinstance(step, str):
            raise BadRowError(f"{steps_key}[{place}] is {shown(step)}; expected the text of a step")
    for place, value in enumerate(labels):
        if value is not None and (not (_is_number(value) or isinstance(value, bool)) or not 0 <= value <= 1):
            raise BadRowError(
                f"{labels_key}[{place}] is {shown(value)}; expected true (right) or false, a share from 0 to 1, or "
                "null for a step that is not judged"
            )
    fault = None
    if empty := [place for place, step in enumerate(steps, 1) if not step.strip()]:
        fault = f"step {empty[0]} is empty"
    elif all(value is None for value in labels):
        fault = "no step has a label"
    return LabelledSteps(read_prompt(row), steps, [None if value is None else float(value) for value in labels], fault)


def split_shared(chosen: list[Message], rejected: list[Message]) -> tuple[list[Message], list[Message], list[Message]]:
    """Split two conversations into their shared beginning and the one answer in which they differ."""
    if len(chosen) != len(rejected) or chosen[:-1] != rejected[:-1]:
        pairs = zip(chosen, rejected, strict=False)
        turn = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(chosen), len(rejected)))
        raise BadRowError(
            f"chosen and rejected part at message {turn} of {len(chosen)} and {len(rejected)}; "
            "they may differ in the last answer only"
        )
    require_end(chosen[:-1], "chosen", ("user", "tool"))
    return chosen[:-1], chosen[-1:], rejected[-1:]
