"""Rows become exactly the tokens that are read and learned, and nothing is left out silently."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.datasets.examples import (
    Example,
    PreferenceExample,
    conversation_examples,
    hold_out,
    labelled_examples,
    preference_examples,
    task_prompts,
)
from burnish.datasets.rankings import ranked_examples
from burnish.datasets.rows import Conversation, Labelled, Preference, Ranking, RowPlace, Task
from burnish.errors import DataError
from burnish.text.chat import Message
from burnish.text.tokenizer import Tokenizer

SYSTEM: Message = {"role": "system", "content": "Be brief."}
USER: Message = {"role": "user", "content": "2 + 2?"}
PLACE = RowPlace("rows.jsonl", 7)


def says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def learned(example: Example, tokenizer: Tokenizer) -> str:
    pairs = zip(example.tokens, example.mask, strict=True)
    return tokenizer.decode([token for token, mask in pairs if mask], skip_special=False)


def text(tokens: list[int], tokenizer: Tokenizer) -> str:
    return tokenizer.decode(tokens, skip_special=False)


PROMPT = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"


def test_an_example_ends_with_the_last_learned_token(tokenizer: Tokenizer) -> None:
    (example,), report = conversation_examples([Conversation([USER, says("4")])], tokenizer, max_length=99)
    assert text(example.tokens, tokenizer) == PROMPT + "4<|im_end|>"
    assert learned(example, tokenizer) == "4<|im_end|>"
    assert (report.kept, report.dropped, report.cut) == (1, [], [])


@pytest.mark.parametrize(
    ("which", "expected"),
    [(None, "4<|im_end|>6<|im_end|>"), ((False, True), "6<|im_end|>"), ((True, False), "4<|im_end|>")],
)
def test_messages_that_are_only_read_are_not_learned(
    which: tuple[bool, ...] | None, expected: str, tokenizer: Tokenizer
) -> None:
    row = Conversation([USER, says("4"), USER, says("6")], which)
    (example,), _ = conversation_examples([row], tokenizer, max_length=999)
    assert learned(example, tokenizer) == expected
    assert example.mask[-1]


def test_what_is_longer_than_the_models_context_is_said(tokenizer: Tokenizer) -> None:
    known = replace(tokenizer, context_length=40)
    short, long = says("4"), says("4" * 50)
    for rows, encode in (
        ([Conversation([USER, short]), Conversation([USER, long])], conversation_examples),
        ([Preference([USER], [short], [says("5")]), Preference([USER], [long], [says("5")])], preference_examples),
    ):
        examples, report = encode(rows, known, max_length=999)
        assert len(examples) == 2
        assert [reason for *_, reason in report.noted] == [
            "longer than the model's context of 40 tokens; a max_length of 40 cuts or drops it"
        ]
        assert encode(rows, tokenizer, max_length=999)[1].noted == []


def test_long_conversations_are_dropped_or_cut_and_reported(tokenizer: Tokenizer) -> None:
    rows = [
        Conversation([USER, says("4")], place=RowPlace("rows.jsonl", 1)),
        Conversation([USER, says("4" * 50)], place=RowPlace("rows.jsonl", 2)),
        Conversation([{"role": "user", "content": "2" * 99}, says("4")], place=RowPlace("rows.jsonl", 3)),
    ]
    examples, report = conversation_examples(rows, tokenizer, max_length=60)
    assert len(examples) == report.kept == 1
    assert [(file, line) for file, line, _ in report.dropped] == [("rows.jsonl", 2), ("rows.jsonl", 3)]
    examples, report = conversation_examples(rows, tokenizer, max_length=60, on_long="cut")
    assert [len(example.tokens) for example in examples] == [27, 60]
    assert [(line, reason) for _, line, reason in report.cut] == [(2, "76 tokens, more than max_length 60")]
    assert [(line, reason) for _, line, reason in report.dropped] == [
        (3, "120 tokens, more than max_length 60, and no answer begins before that")
    ]
    assert report.summary().splitlines() == [
        "2 examples kept, 1 dropped, 1 cut",
        "  dropped rows.jsonl:3: 120 tokens, more than max_length 60, and no answer begins before that",
        "  cut rows.jsonl:2: 76 tokens, more than max_length 60",
    ]


def test_a_pair_shares_its_prompt_exactly(tokenizer: Tokenizer) -> None:
    row = Preference([USER], [says("4")], [says("five")])
    (example,), _ = preference_examples([row], tokenizer, max_length=99)
    assert text(example.prompt, tokenizer) == PROMPT
    assert text(example.chosen, tokenizer) == "4<|im_end|>"
    assert text(example.rejected, tokenizer) == "five<|im_end|>"


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_prompt_followed_by_an_answer_is_the_conversation(
    tokenizer: Tokenizer, question: str, good: str, bad: str
) -> None:
    prompt: list[Message] = [SYSTEM, {"role": "user", "content": question}]
    examples, report = preference_examples(
        [Preference(prompt, [says(good)], [says(bad)])], tokenizer, max_length=10_000
    )
    if good == bad:
        assert [reason for _, _, reason in report.dropped] == ["the answers are the same tokens in the chat template"]
        return
    (example,) = examples
    for answer, tokens in ((good, example.chosen), (bad, example.rejected)):
        (whole,), _ = conversation_examples([Conversation([*prompt, says(answer)])], tokenizer, max_length=10_000)
        assert example.prompt + tokens == whole.tokens
        assert whole.mask == [False] * len(example.prompt) + [True] * len(tokens)


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected", "reason"),
    [
        ("4", "5", PreferenceExample, ""),
        ("4" * 30, "5", PreferenceExample, "56 tokens with its longer answer, more than max_length 40"),
        ("4" * 30, "4" * 29, None, "56 tokens with its longer answer, more than max_length 40, and the answers are"),
    ],
)
def test_long_pairs_are_cut_at_the_end_of_their_answers(
    chosen: str, rejected: str, expected: type | None, reason: str, tokenizer: Tokenizer
) -> None:
    rows = [Preference([USER], [says(chosen)], [says(rejected)], place=PLACE)]
    examples, report = preference_examples(rows, tokenizer, max_length=40, on_long="cut")
    assert [type(example) for example in examples] == ([expected] if expected else [])
    assert all(len(example.prompt) + len(example.chosen) <= 40 for example in examples)
    told = report.cut + report.dropped
    assert [place[:2] for place in told] == ([("rows.jsonl", 7)] if reason else [])
    assert not reason or told[0][2].startswith(reason)
    _, report = preference_examples(rows, tokenizer, max_length=40)
    assert len(report.dropped) == bool(reason)


def test_a_prompt_that_leaves_no_room_is_dropped(tokenizer: Tokenizer) -> None:
    rows = [Preference([USER], [says("4")], [says("5")])]
    room = len(PROMPT) - 2 * len("<|im_start|>") - len("<|im_end|>") + 3
    assert preference_examples(rows, tokenizer, max_length=room, on_long="cut")[1].kept == 0
    assert preference_examples(rows, tokenizer, max_length=room + 1, on_long="cut")[1].kept == 1


def test_labelled_answers(tokenizer: Tokenizer) -> None:
    rows = [Labelled([USER], [says("4")], True), Labelled([USER], [says("5" * 90)], False, place=PLACE)]
    (example,), report = labelled_examples(rows, tokenizer, max_length=50)
    assert (text(example.answer, tokenizer), example.desired) == ("4<|im_end|>", True)
    assert [place[:2] for place in report.dropped] == [("rows.jsonl", 7)]
    examples, report = labelled_examples(rows, tokenizer, max_length=50, on_long="cut")
    assert [len(example.prompt) + len(example.answer) for example in examples] == [27, 50]
    assert len(report.cut) == 1


def test_task_prompts_end_where_the_model_continues(tokenizer: Tokenizer) -> None:
    row = {"prompt": "2 + 2?", "answer": 4}
    tasks = [Task([USER], row), Task([{"role": "user", "content": "2" * 99}], {}, place=PLACE)]
    (prompt,), report = task_prompts(tasks, tokenizer, max_length=50)
    assert text(prompt.tokens, tokenizer) == PROMPT
    assert prompt.row is row
    assert report.dropped == [("rows.jsonl", 7, "the prompt has 118 tokens, more than max_length 50")]


def test_rows_that_the_template_refuses_are_listed(refusing_tokenizer: Tokenizer) -> None:
    rows = [
        Conversation([USER, says("4")], place=RowPlace("rows.jsonl", 1)),
        Conversation([SYSTEM, USER, says("4")], place=RowPlace("rows.jsonl", 2)),
        Conversation([SYSTEM, USER, says("5")], place=RowPlace("rows.jsonl", 3)),
    ]
    with pytest.raises(DataError, match=r"rows\.jsonl:2: .*no system role.* \(also in line 3\)"):
        conversation_examples(rows, refusing_tokenizer, max_length=99)


LAST_ONLY = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": "two"}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}}}}}]


def calls(**call: object) -> Message:
    message: Message = {"role": "assistant", "content": "", "tool_calls": [{**CALL, **call}]}
    return message


def test_an_example_for_each_answer_that_is_written_differently_later(tokenizer: Tokenizer) -> None:
    """Qwen3 writes its empty block of reasoning in the last turn only."""
    row = Conversation([USER, says("4"), USER, says("6"), USER, says("8")], (True, False, True), place=PLACE)
    examples, report = conversation_examples([row], replace(tokenizer, chat_template=LAST_ONLY), max_length=999)
    block = "<think>\n\n</think>\n\n"
    user = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    assert [text(example.tokens, tokenizer) for example in examples] == [
        f"{user}{block}4<|im_end|>",
        f"{user}4<|im_end|>\n{user}6<|im_end|>\n{user}{block}8<|im_end|>",
    ]
    assert [learned(example, tokenizer) for example in examples] == [f"{block}4<|im_end|>", f"{block}8<|im_end|>"]
    assert (report.kept, report.dropped) == (2, [])
    assert report.noted == [
        ("rows.jsonl", 7, "2 examples: the chat template writes an answer differently once others follow")
    ]
    (example,), report = conversation_examples(
        [row], replace(tokenizer, chat_template=LAST_ONLY), max_length=len(examples[0].tokens)
    )
    assert example == examples[0]
    assert [reason.split(":")[0] for _, _, reason in report.cut] == ["one of its 2 examples left out"]


def test_a_conversation_is_held_out_as_a_whole(tokenizer: Tokenizer) -> None:
    """Its examples begin alike: a later one has the earlier one's answer in its prompt."""
    rows = [
        Conversation([USER, says(f"{row}"), USER, says("6")][: 4 if row % 3 else 2], place=PLACE) for row in range(9)
    ]
    rows[4] = replace(rows[4], fault="the answer is empty")
    examples, _ = conversation_examples(rows, replace(tokenizer, chat_template=LAST_ONLY), max_length=999)
    assert [example.conversation for example in examples] == [0, 1, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 7]
    for seed in range(9):
        for share, expected in ((0.0, 0), (0.05, 0), (0.25, 2), (0.5, 4), (0.99, 7)):
            kept, heldout = hold_out(examples, share, seed=[seed])
            apart = [{example.conversation for example in side} for side in (kept, heldout)]
            assert not apart[0] & apart[1]
            assert len(apart[1]) == expected
            assert kept == [example for example in examples if example.conversation in apart[0]], "all, in their order"
            assert sorted(kept + heldout, key=examples.index) == examples
    assert hold_out(examples, 0.25, seed=[3]) == hold_out(examples, 0.25, seed=[3])
    assert len({str(hold_out(examples, 0.25, seed=[seed])[1]) for seed in range(9)}) > 1
    assert hold_out(examples[1:3], 0.5, seed=[0]) == (examples[1:3], []), "one conversation cannot be parted"
    assert hold_out([], 0.5, seed=[0]) == ([], [])


def test_only_the_answer_that_is_learned_needs_its_prompt(tokenizer: Tokenizer) -> None:
    """Several turns in a pair, and in a row with an answer that is only read."""
    tokenizer = replace(tokenizer, chat_template=LAST_ONLY)
    prompt = [USER, says("4"), USER]
    (pair,), report = preference_examples([Preference(prompt, [says("6")], [says("7")])], tokenizer, max_length=999)
    (labelled,), _ = labelled_examples([Labelled(prompt, [says("6")], True)], tokenizer, max_length=999)
    (ranked,), _ = ranked_examples([Ranking(prompt, [[says("6")], [says("7")]])], tokenizer, max_length=999)
    (example,), _ = conversation_examples(
        [Conversation([*prompt, says("6")], (False, True))], tokenizer, max_length=999
    )
    assert pair.prompt == labelled.prompt == ranked.prompt
    assert pair.prompt + pair.chosen == labelled.prompt + labelled.answer == example.tokens
    assert text(pair.chosen, tokenizer) == "<think>\n\n</think>\n\n6<|im_end|>"
    assert report.noted == []


CASES = {
    "calls": ([USER, calls()], None, "the tool calls of {}"),
    "tools": ([USER, says("4")], TOOLS, "the tools"),
    "reasoning": ([USER, {**says("4"), "reasoning_content": "Two and two."}], None, "the reasoning of {}"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_row_that_the_template_does_not_carry_is_dropped(case: str, tokenizer: Tokenizer) -> None:
    """Plain ChatML has no place for tools, calls and reasoning; a bare stop token is no answer."""
    messages, tools, lost = CASES[case]
    prompt, answer = messages[:-1], messages[-1:]
    reports = [
        conversation_examples([Conversation(messages, None, tools)], tokenizer, max_length=999)[1],
        labelled_examples([Labelled(prompt, answer, True, tools)], tokenizer, max_length=999)[1],
        preference_examples([Preference(prompt, answer, [says("5")], tools)], tokenizer, max_length=999)[1],
        ranked_examples([Ranking(prompt, [[says("5")], answer], None, tools)], tokenizer, max_length=999)[1],
    ]
    owners = ("message 2 (assistant)", "the answer", "the chosen answer", "the rejected answer")
    for report, owner in zip(reports, owners, strict=True):
        assert report.kept == 0
        assert [reason for _, _, reason in report.dropped] == [f"the chat template leaves out {lost.format(owner)}"]
    _, report = task_prompts([Task(messages[:1], {}, tools)], tokenizer, max_length=999)
    assert len(report.dropped) == (tools is not None)


def test_what_a_template_leaves_out_of_a_prompt(tokenizer: Tokenizer) -> None:
    every, others = "{% for message in messages %}", "{% for message in messages if message.role != 'tool' %}"
    template = str(tokenizer.chat_template).replace(every, others)
    tokenizer = replace(tokenizer, chat_template=template)
    result: Message = {"role": "tool", "content": "4"}
    _, report = task_prompts([Task([USER, says("4?"), result], {}, place=PLACE)], tokenizer, max_length=999)
    assert report.dropped == [("rows.jsonl", 7, "the chat template leaves out a part of message 3 (tool)")]
    _, report = conversation_examples(
        [Conversation([USER, says("4?"), result, says("4.")], place=PLACE)], tokenizer, max_length=999
    )
    assert report.dropped == [("rows.jsonl", 7, "the chat template leaves out a part of message 3 (tool)")]


def test_variables_of_a_row_reach_the_template(tokenizer: Tokenizer) -> None:
    tokenizer = replace(tokenizer, chat_template="{{ mood }}" + str(tokenizer.chat_template))
    row = {"template_kwargs": {"mood": "calm"}}
    (task,), _ = task_prompts([Task([USER], {}, **row)], tokenizer, max_length=99)  # type: ignore[arg-type]
    assert text(task.tokens, tokenizer) == "calm" + PROMPT
    (example,), _ = conversation_examples([Conversation([USER, says("4")], **row)], tokenizer, max_length=99)  # type: ignore[arg-type]
    assert text(example.tokens, tokenizer) == f"calm{PROMPT}4<|im_end|>"
