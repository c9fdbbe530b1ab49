"""Templates with all that the families' templates use, tools and results included, against transformers."""

import re
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from templates import CHATML, MARKED, TEMPLATES
from vocabularies import sentencepiece_metadata

from burnish.errors import DataError
from burnish.text.chat import Message, encode_answers, encode_conversation, encode_prompt, render
from burnish.text.gguf_sentencepiece import is_byte
from burnish.text.tokenizer import Tokenizer

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "query",
            "description": 'Runs SQL & returns rows, "as <b>JSON</b>".',
            "parameters": {
                "type": "object",
                "properties": {"sql": {"type": "string"}, "limit": {"type": "integer", "default": 10}, "é": {}},
                "required": ["sql"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "id": "call00001", "function": {"name": name, "arguments": arguments}}


def said(role: str, content: Any, **more: Any) -> Message:
    message: Any = {"role": role, "content": content, **more}
    return message


CONVERSATIONS: dict[str, list[Message]] = {
    "a question": [said("user", "  Hello \n")],
    "system and turns": [
        said("system", "Be brief.\n"),
        said("user", "What's 2 + 2?"),
        said("assistant", " 4 "),
        said("user", "日本の首都は？ 🇯🇵\n\n- one\n- two"),
        said("assistant", "東京です。"),
    ],
    "system alone": [said("system", "Be brief.")],
    "two questions in a row": [said("user", "One?"), said("user", "Two?"), said("assistant", "Three.")],
    "system in the middle": [said("user", "One?"), said("system", "Now in French."), said("assistant", "Un.")],
    "a call": [
        said("user", "How many flights?"),
        said("assistant", None, tool_calls=[call("query", sql='SELECT "n" FROM é WHERE a < 2 & b > 1', limit=1)]),
        said("tool", "[[336776]]", name="query", tool_call_id="call00001"),
        said("assistant", "336,776."),
        said("user", "Thanks."),
        said("assistant", "Welcome."),
    ],
    "two calls and words": [
        said("system", "You may call functions."),
        said("user", "When, and how many?"),
        said(
            "assistant", "Let me see.", tool_calls=[call("now"), call("query", sql="SELECT 1", nested={"a": [1, None]})]
        ),
        said("tool", "12:00"),
        said("tool", "1"),
        said("assistant", "One, at noon."),
    ],
    "a call whose arguments are text": [
        said("user", "Go."),
        said("assistant", "", tool_calls=[{"function": {"name": "now", "arguments": '{"zone": "UTC"}'}}]),
        said("tool", "12:00"),
        said("assistant", "Noon."),
    ],
    "a result that is no text": [said("user", "Go."), said("tool", {"rows": [1, 2]}), said("assistant", "Done.")],
    "content in parts": [
        said("user", [{"type": "text", "text": " Look. "}, {"type": "image"}, {"type": "text", "text": "Well?"}]),
        said("assistant", "Yes."),
    ],
    "reasoning": [
        said("user", "Why?"),
        said("assistant", "Because.", reasoning_content="\nFirst thought.\n"),
        said("user", "Really?"),
        said("assistant", "Yes.", reasoning="Second thought."),
    ],
    "a role that ends it": [said("user", "One?"), said("stop", "."), said("assistant", "Two.")],
}

each_template = pytest.mark.parametrize("template", TEMPLATES)


@pytest.fixture(scope="module")
def tokenizers(smollm2_tokenizer: Tokenizer) -> dict[str, Tokenizer]:
    return {name: replace(smollm2_tokenizer, chat_template=template) for name, template in TEMPLATES.items()}


@pytest.fixture(scope="module")
def reference(smollm2_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("reference")
    smollm2_tokenizer.save(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def in_transformers(reference: Any, template: str, messages: list[Message], **options: Any) -> Any:
    """What transformers makes of it; the error where it refuses."""
    try:
        return reference.apply_chat_template(messages, chat_template=TEMPLATES[template], **options)
    except Exception as error:
        return error


@each_template
@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("prompt", [False, True])
@pytest.mark.parametrize("tools", [None, TOOLS, []])
def test_text_equals_transformers(
    tokenizers: dict[str, Tokenizer], reference: Any, template: str, conversation: str, prompt: bool, tools: Any
) -> None:
    messages = CONVERSATIONS[conversation]
    options = {"add_generation_prompt": prompt, "tools": tools}
    expected = in_transformers(reference, template, messages, tokenize=False, **options)
    if isinstance(expected, Exception):
        with pytest.raises(DataError) as caught:
            render(tokenizers[template], messages, **options)
        assert str(expected) in str(caught.value)
    else:
        assert render(tokenizers[template], messages, **options) == expected


def test_what_is_refused_and_what_is_not(tokenizers: dict[str, Tokenizer]) -> None:
    """So that the comparison above is not one of errors alone."""
    refused = {}
    for template, tokenizer in tokenizers.items():
        for conversation, messages in CONVERSATIONS.items():
            try:
                render(tokenizer, messages, tools=TOOLS)
            except DataError as error:
                refused[template, conversation] = str(error).split(": ")[-1]
    assert refused["mistral", "two questions in a row"] == "after 1 messages comes assistant, not user"
    assert refused["gemma", "system alone"] == "a system message alone is no conversation"
    assert refused["llama3", "two calls and words"] == "one call at a time"
    accepted = {template: len(CONVERSATIONS) - sum(name == template for name, _ in refused) for template in TEMPLATES}
    assert accepted["marked"] == accepted["chatml"] == len(CONVERSATIONS)
    assert all(number >= 4 for number in accepted.values()), accepted


@each_template
@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_ids_equal_transformers(
    tokenizers: dict[str, Tokenizer], reference: Any, template: str, conversation: str
) -> None:
    messages = CONVERSATIONS[conversation]
    expected = in_transformers(reference, template, messages, add_generation_prompt=True, return_dict=False)
    if not isinstance(expected, Exception):
        tokenizer = tokenizers[template]
        found = encode_prompt(tokenizer, messages)
        # An answer that would merge with its prompt is encoded apart: other tokens of the same text.
        assert found == expected or (
            tokenizer.decode(found, skip_special=False) == tokenizer.decode(expected, skip_special=False)
            and any(message["role"] == "assistant" for message in messages)
        )


def generated_by_character(tokenizer: Tokenizer, messages: list[Message], text: str) -> list[bool]:
    """For each byte of `text`, whether an assistant would have to write it: answers up to their last stop token."""
    generated = bytearray(len(text.encode()))
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            start = len(render(tokenizer, messages[:i], add_generation_prompt=True).encode())
            through = render(tokenizer, messages[: i + 1]).encode()
            stop = through.rindex(b"<|im_end|>") + len(b"<|im_end|>")
            generated[start:stop] = b"\x01" * (stop - start)
    return [bool(byte) for byte in generated]


def byte_lengths(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    """The bytes that each token stands for: one for each letter of byte-level BPE, or the token's own text."""
    return [
        len(str(tokenizer.token(i)).encode()) if i in tokenizer.control_ids else len(str(tokenizer.token(i)))
        for i in ids
    ]


words = st.sampled_from(["Hello", " ", "\n", "\n\n", "7", "é", "🙂", "<|im_", "日本", "\t", "'s", "end."]) | st.text(
    st.characters(max_codepoint=0x24F, exclude_categories=["Cs", "Cc"]), max_size=3
)
texts = st.lists(words, min_size=1, max_size=5).map("".join).filter(lambda text: text.strip())
conversations = st.tuples(st.booleans(), st.lists(st.tuples(texts, texts), min_size=1, max_size=3)).map(
    lambda drawn: (
        [said("system", "Be brief.")] * drawn[0]
        + [said(role, text) for pair in drawn[1] for role, text in zip(("user", "assistant"), pair, strict=True)]
    )
)


@given(st.sampled_from([name for name in TEMPLATES if name not in MARKED]), conversations)
def test_mask_by_character(tokenizers: dict[str, Tokenizer], template: str, messages: list[Message]) -> None:
    tokenizer = tokenizers[template]
    ids, mask = encode_conversation(tokenizer, messages)
    text = render(tokenizer, messages)
    assert tokenizer.decode(ids, skip_special=False) == text
    generated, place = generated_by_character(tokenizer, messages, text), 0
    for length, wanted in zip(byte_lengths(tokenizer, ids), mask, strict=True):
        assert set(generated[place : place + length]) == {wanted}
        place += length
    assert place == len(generated)


@given(st.sampled_from(MARKED), conversations)
def test_mask_of_marked_answers_equals_transformers(
    tokenizers: dict[str, Tokenizer], reference: Any, template: str, messages: list[Message]
) -> None:
    expected = in_transformers(reference, template, messages, return_dict=True, return_assistant_tokens_mask=True)
    tokenizer = tokenizers[template]
    ids, mask = encode_conversation(tokenizer, messages)
    if ids == expected["input_ids"]:
        assert mask == [bool(wanted) for wanted in expected["assistant_masks"]]
    else:  # an answer that would merge with its prompt is encoded apart
        assert tokenizer.decode(ids, skip_special=False) == render(tokenizer, messages)
        assert masked_text(tokenizer, messages) == "".join(
            f"{message['content']}<|im_end|>" + "\n" * (template != "marked")
            for message in messages
            if message["role"] == "assistant"
        )


def test_mask_of_marked_calls_equals_transformers(tokenizers: dict[str, Tokenizer], reference: Any) -> None:
    for name in ("a call", "two calls and words", "a call whose arguments are text", "a result that is no text"):
        messages, options = CONVERSATIONS[name], {"return_dict": True, "return_assistant_tokens_mask": True}
        expected = in_transformers(reference, "marked", messages, tools=TOOLS, **options)
        ids, mask = encode_conversation(tokenizers["marked"], messages, tools=TOOLS)
        assert (ids, mask) == (expected["input_ids"], [bool(wanted) for wanted in expected["assistant_masks"]])
        assert any(mask)


def masked_text(tokenizer: Tokenizer, messages: list[Message]) -> str:
    ids, mask = encode_conversation(tokenizer, messages)
    return tokenizer.decode([i for i, wanted in zip(ids, mask, strict=True) if wanted], skip_special=False)


@pytest.mark.parametrize(
    ("block", "masked"),
    [
        ("{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>", "4<|im_end|>5<|im_end|>"),
        ("{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}", "4<|im_end|>5<|im_end|>"),
        (
            "{% if loop.index0 == 1 %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% else %}"
            "{{ m.content }}<|im_end|>{% endif %}",
            "4<|im_end|>",
        ),
        ("{% generation %}{% endgeneration %}{{ m.content }}<|im_end|>", "4<|im_end|>5<|im_end|>"),
    ],
)
def test_a_block_that_leaves_something_out(smollm2_tokenizer: Tokenizer, block: str, masked: str) -> None:
    """The token that ends a turn is always learned, and an answer without a block is not."""
    template = CHATML.replace(
        "{{ message['content'] }}<|im_end|>",
        "{% set m = message %}{% if m.role == 'assistant' %}"
        + block
        + "{% else %}{{ m.content }}<|im_end|>{% endif %}",
    )
    tokenizer = replace(smollm2_tokenizer, chat_template=template)
    messages = [said("user", "2+2"), said("assistant", "4"), said("user", "2+3"), said("assistant", "5")]
    assert masked_text(tokenizer, messages) == masked


@pytest.fixture(scope="module")
def sentencepiece() -> dict[bool, Tokenizer]:
    return {prefix: Tokenizer.from_gguf(sentencepiece_metadata(prefix=prefix), "f") for prefix in (True, False)}


def spelled(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The text that the tokens stand for, before anything is made of its spaces."""
    pieces = [str(tokenizer.token(i)).replace("\u2581", " ") for i in ids]
    return b"".join(bytes.fromhex(piece[3:5]) if is_byte(piece) else piece.encode() for piece in pieces).decode(
        errors="replace"
    )


@pytest.mark.slow
@given(st.booleans(), st.sampled_from([name for name in TEMPLATES if name not in MARKED]), conversations)
def test_conversations_of_a_sentencepiece_vocabulary(
    sentencepiece: dict[bool, Tokenizer], prefix: bool, template: str, messages: list[Message]
) -> None:
    """A space stands before what follows a control token, and nowhere that an answer is encoded apart."""
    # What spells a control token in a message is text, which no space follows.
    assume(not any(control in str(message["content"]) for control in ("<s>", "</s>", "<|im_") for message in messages))
    tokenizer = replace(sentencepiece[prefix], chat_template=TEMPLATES[template])
    ids, mask = encode_conversation(tokenizer, messages)
    for i, message in enumerate(messages):
        if message["role"] == "assistant":
            prompt = encode_prompt(tokenizer, messages[:i])
            assert ids[: len(prompt)] == prompt
            assert mask[len(prompt)]
    text = render(tokenizer, messages)
    assert text.startswith("<s>") or template not in ("llama3", "mistral", "gemma")
    parts = re.split(r"(<s>|</s>|<\|im_start\|>|<\|im_end\|>)", text)
    assert spelled(tokenizer, ids) == "".join(
        " " + part if prefix and part and i % 2 == 0 else part for i, part in enumerate(parts)
    )
    stops = [i for i, wanted in zip(ids, mask, strict=True) if wanted and i in tokenizer.stop_ids]
    assert len(stops) == sum(message["role"] == "assistant" for message in messages)


def test_marks_are_no_part_of_the_text(tokenizers: dict[str, Tokenizer]) -> None:
    text = render(tokenizers["marked"], CONVERSATIONS["a call"], tools=TOOLS)
    assert not any("\ufdd0" <= letter <= "\ufdef" for letter in text)
    attack = [said("user", "\ufdd2a\ufdd3"), said("assistant", "\ufdd3b\ufdd2")]
    assert masked_text(tokenizers["marked"], attack) == "b<|im_end|>"
    assert masked_text(tokenizers["chatml"], attack) == "b<|im_end|>"


# What comes before an answer is written otherwise once it is answered: the last result of a tool (Hermes), and a system
# prompt, which is in a question only where that is the last message (Mistral).
REWRITTEN_BEFORE = {
    "result of a tool": (
        "{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>tool\n{{ m.content }}"
        "{{ '' if loop.last else '\n' }}<|im_end|>\n{% elif m.tool_calls %}<|im_start|>assistant\n"
        "{{ m.tool_calls[0].function | tojson }}<|im_end|>\n{% else %}<|im_start|>{{ m.role }}\n"
        "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        [
            said("user", "Rain?"),
            said("assistant", "", tool_calls=[call("rain", place="Bern")]),
            said("tool", "2 mm"),
            said("assistant", "Yes."),
        ],
        ['{"name": "rain", "arguments": {"place": "Bern"}}<|im_end|>', "Yes.<|im_end|>"],
    ),
    "system prompt": (
        "{% set system = messages[0].content if messages[0].role == 'system' else '' %}"
        "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}<|im_start|>"
        "{{ system + '\n' if system and loop.last else '' }}{{ m.content }}\n{% else %}{{ m.content }}<|im_end|>"
        "{% endif %}{% endfor %}",
        [said("system", "Be brief."), said("user", "Rain?"), said("assistant", "Yes.")],
        ["Yes.<|im_end|>"],
    ),
}


@pytest.mark.parametrize(("template", "messages", "answers"), REWRITTEN_BEFORE.values(), ids=REWRITTEN_BEFORE)
def test_an_answer_stands_behind_what_the_model_sees(
    template: str, messages: list[Message], answers: list[str], smollm2_tokenizer: Tokenizer
) -> None:
    tokenizer = replace(smollm2_tokenizer, chat_template=template)
    (encoding,) = encode_answers(tokenizer, messages)
    assert encoding.tokens[: encoding.n_prompt] == encode_prompt(tokenizer, messages[:-1])
    assert not encoding.lost
    learned = [token if wanted else 0 for token, wanted in zip(encoding.tokens, encoding.mask, strict=True)]
    runs = [list(run) for wanted, run in groupby(learned, key=bool) if wanted]
    assert [tokenizer.decode(run, skip_special=False) for run in runs] == answers


def test_an_answer_that_is_written_otherwise_has_no_prompt(smollm2_tokenizer: Tokenizer) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ (messages | length) // 4 }}{{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>{% endif %}"
    )
    tokenizer = replace(smollm2_tokenizer, chat_template=template)
    messages = [said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "d")]
    with pytest.raises(
        DataError, match=r"message 4 \(assistant\) in a way that does not follow its own generation prompt"
    ):
        encode_answers(tokenizer, messages)
