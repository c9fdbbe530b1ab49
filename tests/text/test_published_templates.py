"""The chat templates of published models, as TRL carries them, against transformers: prompts, answers, what is lost."""

import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from burnish.errors import CheckpointError, DataError
from burnish.text.chat import Encoding, Message, encode_answers, encode_prompt, encode_question
from burnish.text.tokenizer import Tokenizer

_CONTROL = re.compile(r"<[|｜][^<>\n{}' ]*[|｜]>|</?s>|<bos>|<eos>|<(?:start|end)_of_\w+>|<turn\|>|<\|turn>|<\|?\w+\|>")

# Each template with the tokens at which its models stop, as their generation_config.json lists them.
STOPS = {
    "cohere": ("<|END_OF_TURN_TOKEN|>",),
    "cohere2": ("<|END_OF_TURN_TOKEN|>",),
    "deepseek_r1_distill": ("<｜end▁of▁sentence｜>",),
    "deepseekv3": ("<｜end▁of▁sentence｜>",),
    "gemma": ("<end_of_turn>", "<eos>"),
    "gemma3": ("<end_of_turn>", "<eos>"),
    "gptoss": ("<|return|>", "<|call|>", "<|endoftext|>"),
    "lfm2": ("<|im_end|>",),
    "lfm2_2_5": ("<|im_end|>",),
    "llama3": ("<|eot_id|>", "<|end_of_text|>"),
    "llama3_1": ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    "llama3_2": ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
    "nemotron_3_nano": ("<|im_end|>",),
    "phi3": ("<|endoftext|>", "<|end|>", "<|assistant|>"),
    "phi3_5": ("<|endoftext|>", "<|end|>", "<|assistant|>"),
    "phi3_training": ("<|endoftext|>", "<|end|>"),
    "qwen2_5": ("<|im_end|>", "<|endoftext|>"),
    "qwen3": ("<|im_end|>", "<|endoftext|>"),
    "qwen3_training": ("<|im_end|>", "<|endoftext|>"),
    "qwen3_5_nothink": ("<|im_end|>", "<|endoftext|>"),
    "qwen3_5_think": ("<|im_end|>", "<|endoftext|>"),
    "qwen3_instruct_2507": ("<|im_end|>", "<|endoftext|>"),
}


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> Message:
    message: Any = {"role": "assistant", "content": text, **more}
    return message


def tool(text: str) -> Message:
    return {"role": "tool", "content": text, "name": "get_rain", "tool_call_id": "call00001"}


CALL = {
    "type": "function",
    "id": "call00001",
    "function": {"name": "get_rain", "arguments": {"place": "Bern", "mm": 7}},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_rain",
            "description": "Rain that fell.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string", "description": "Where."}, "mm": {"type": "integer"}},
                "required": ["place"],
            },
        },
    }
]
CONVERSATIONS: dict[str, tuple[list[Message], Any]] = {
    "turns": ([user("One?"), assistant("First."), user("Two?"), assistant("Second.")], None),
    "reasoning": (
        [
            user("One?"),
            assistant("First.", reasoning_content="So one."),
            user("Two?"),
            assistant("Second.", reasoning_content="So two."),
        ],
        None,
    ),
    "reasoning in content": (
        [
            user("One?"),
            assistant("<think>\nSo one.\n</think>\n\nFirst."),
            user("Two?"),
            assistant("<think>\nSo two.\n</think>\n\nSecond."),
        ],
        None,
    ),
    "calls": (
        [user("Rain?"), assistant("", tool_calls=[CALL]), tool("2 mm"), assistant("Two.")],
        TOOLS,
    ),
}


@cache
def template(name: str) -> str:
    spec = importlib.util.find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("trl, which carries these templates, is not installed")
    file = Path(spec.submodule_search_locations[0]) / "chat_templates" / f"{name}.jinja"
    if not file.is_file():
        pytest.skip(f"this version of trl has no {file.name}")
    return file.read_text(encoding="utf-8")


@cache
def tokenizer_of(name: str) -> Tokenizer:
    """Single bytes and the control tokens that the template writes."""
    texts = dict.fromkeys(["<s>", *STOPS[name], *sorted(set(_CONTROL.findall(template(name))))])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in texts])
    stops = [backend.token_to_id(text) for text in STOPS[name]]
    return Tokenizer(
        backend=backend,
        source=name,
        bos_id=backend.token_to_id("<s>"),
        eos_id=stops[0],
        stop_ids=frozenset(stops),
        chat_template=template(name),
    )


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Any:
    transformers = pytest.importorskip("transformers")

    @cache
    def load(name: str) -> Any:
        folder = tmp_path_factory.mktemp(name)
        tokenizer_of(name).save(folder)
        return transformers.AutoTokenizer.from_pretrained(folder)

    return load


def text(name: str, ids: list[int]) -> str:
    return tokenizer_of(name).decode(ids, skip_special=False)


def learned(name: str, encoding: Encoding) -> list[str]:
    """The runs of tokens that are learned, as text."""
    runs: list[list[int]] = [[]]
    for token, wanted in zip(encoding.tokens, encoding.mask, strict=True):
        if wanted:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [text(name, run) for run in runs if run]


def with_text_arguments(messages: list[Message]) -> list[Message]:
    call = {**CALL, "function": {"name": "get_rain", "arguments": '{"place": "Bern", "mm": 7}'}}
    return [assistant("", tool_calls=[call]) if message.get("tool_calls") else message for message in messages]


def encoded(name: str, conversation: str, **options: Any) -> list[Encoding]:
    messages, tools = CONVERSATIONS[conversation]
    return encode_answers(tokenizer_of(name), messages, tools=tools, **options)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", STOPS)
def test_every_answer_follows_the_prompt_of_transformers(name: str, conversation: str, references: Any) -> None:
    messages, tools = CONVERSATIONS[conversation]
    reference = references(name)
    options = {"tools": tools, "return_dict": False}
    try:
        found = encoded(name, conversation)
    except DataError as error:
        if "does not follow its own generation prompt" in str(error):
            return
        with pytest.raises(Exception, match=str(error).split(": ")[-1][:20]):
            reference.apply_chat_template(messages, **options)
        return
    messages = with_text_arguments(messages) if name == "deepseekv3" else messages
    assert sorted(place for encoding in found for place in encoding.answers) == [1, 3]
    for encoding in found:
        last = encoding.answers[-1]
        prompt = reference.apply_chat_template(messages[:last], add_generation_prompt=True, **options)
        assert encoding.tokens[: encoding.n_prompt] == prompt
        assert encode_prompt(tokenizer_of(name), messages[:last], tools=tools) == prompt
        if not text(name, prompt).rstrip().endswith("<think>"):
            assert encoding.tokens == reference.apply_chat_template(messages[: last + 1], **options)
        for run in learned(name, encoding):
            ends = [stop for stop in STOPS[name] if run.endswith(stop)]
            assert ends or "generation" in template(name)
        if last == 1:
            continue
        earlier = reference.apply_chat_template(messages[:1], add_generation_prompt=True, **options)
        assert 1 not in encoding.answers or encoding.tokens[: len(earlier)] == earlier


ANSWERS = {
    "llama3": [["First.<|eot_id|>", "Second.<|eot_id|>"]],
    "qwen2_5": [["First.<|im_end|>", "Second.<|im_end|>"]],
    "phi3": [["First.<|end|>", "Second.<|end|>"]],
    "phi3_5": [["First.<|end|>", "Second.<|end|>"]],
    "qwen3": [["<think>\n\n</think>\n\nFirst.<|im_end|>"], ["<think>\n\n</think>\n\nSecond.<|im_end|>"]],
    "qwen3_5_think": [["\n</think>\n\nFirst.<|im_end|>"], ["\n</think>\n\nSecond.<|im_end|>"]],
    "gptoss": [
        ["<|channel|>final<|message|>First.<|return|>"],
        ["<|channel|>final<|message|>Second.<|return|>"],
    ],
    "deepseek_r1_distill": [
        ["\n</think>\n\nFirst.<｜end▁of▁sentence｜>"],
        ["\n</think>\n\nSecond.<｜end▁of▁sentence｜>"],
    ],
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_learned(name: str) -> None:
    """One text for all answers where the template allows it, else one for each."""
    assert [learned(name, encoding) for encoding in encoded(name, "turns")] == ANSWERS[name]


@pytest.mark.parametrize("conversation", ["reasoning", "reasoning in content"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("deepseek_r1_distill", "So two.\n</think>\n\nSecond.<｜end▁of▁sentence｜>"),
        ("deepseekv3", "So two.\n</think>\n\nSecond.<｜end▁of▁sentence｜>"),
        ("qwen3", "<think>\nSo two.\n</think>\n\nSecond.<|im_end|>"),
        ("qwen3_5_think", "So two.\n</think>\n\nSecond.<|im_end|>"),
    ],
)
def test_reasoning_stands_once_behind_the_prompt_that_opens_it(name: str, expected: str, conversation: str) -> None:
    (encoding,) = encoded(name, conversation, learned=[False, True])
    assert learned(name, encoding) == [expected]
    assert not encoding.lost
    assert text(name, encoding.tokens).count("So two.") == 1
    assert "So one." not in text(name, encoding.tokens)
    assert encoding.remarks == ("the chat template leaves out the reasoning of turns that are only read",)


@pytest.mark.parametrize(
    ("name", "conversation", "expected"),
    [
        ("qwen2_5", "reasoning", {(1, "reasoning"), (3, "reasoning")}),
        ("llama3", "calls", {(-1, "tools"), (1, "tool calls")}),
        ("phi3", "calls", {(-1, "tools"), (1, "tool calls"), (2, "content")}),
        ("lfm2", "calls", {(1, "tool calls")}),
        ("deepseek_r1_distill", "calls", {(-1, "tools"), (1, "tool calls")}),
        ("deepseekv3", "calls", {(-1, "tools")}),
        *((name, "calls", set()) for name in ("qwen2_5", "qwen3", "llama3_1", "llama3_2", "gptoss", "lfm2_2_5")),
        *((name, "turns", set()) for name in STOPS),
    ],
)
def test_what_is_lost(name: str, conversation: str, expected: set[tuple[int, str]]) -> None:
    assert {tuple(part) for encoding in encoded(name, conversation) for part in encoding.lost} == expected


def test_a_prompt_that_opens_reasoning_is_said_where_a_row_has_none() -> None:
    (encoding,) = encoded("deepseek_r1_distill", "turns", learned=[False, True])
    assert encoding.remarks == (
        "the generation prompt opens <think> and the row has no reasoning: the answer closes it at once",
    )


def test_arguments_are_text_where_the_template_joins_them(references: Any) -> None:
    """transformers takes them as they are given; DeepSeek's template wants text, the others objects."""
    messages, tools = CONVERSATIONS["calls"]
    reference = references("deepseekv3")
    expected = reference.apply_chat_template(with_text_arguments(messages), tools=tools, tokenize=False)
    assert '```json\n{"place": "Bern", "mm": 7}\n```' in expected
    (_, encoding) = encoded("deepseekv3", "calls")
    assert text("deepseekv3", encoding.tokens).startswith(expected.split("<｜tool▁outputs▁end｜>")[0])


@pytest.mark.parametrize("spoken", ["Call get_rain with place Bern and mm 7", "What of it?"])
def test_words_of_the_question_do_not_stand_for_tools(spoken: str) -> None:
    tokenizer = tokenizer_of("llama3")
    assert [part.what for part in encode_question(tokenizer, [user(spoken)], tools=TOOLS).lost] == ["tools"]
    answer = assistant("", tool_calls=[CALL])
    (encoding,) = encode_answers(tokenizer, [user(spoken), answer], tools=TOOLS)
    assert {part.what for part in encoding.lost} == {"tools", "tool calls"}


def test_variables_of_the_template(references: Any) -> None:
    messages, _ = CONVERSATIONS["turns"]
    found = encode_prompt(tokenizer_of("qwen3"), messages[:1], variables={"enable_thinking": False})
    assert found == references("qwen3").apply_chat_template(
        messages[:1], add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert text("qwen3", found).endswith("<think>\n\n</think>\n\n")


def test_the_template_that_tools_call_for(references: Any) -> None:
    tokenizer = replace(
        tokenizer_of("llama3"),
        named_templates={"tool_use": template("llama3_1")},
        stop_ids=tokenizer_of("llama3").stop_ids,
    )
    messages, tools = CONVERSATIONS["calls"]
    (encoding,) = encode_answers(tokenizer, messages, tools=tools)
    assert not encoding.lost
    (plain,) = encode_answers(tokenizer, messages[:1] + messages[3:])
    assert plain.tokens == encode_answers(tokenizer_of("llama3"), messages[:1] + messages[3:])[0].tokens


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ("model/tokenizer.json", "add to its list eos_token_id 259 \\(generation_config.json\\)"),
        ("model.gguf", "set it to 259 \\(tokenizer.ggml.eot_token_id\\)"),
    ],
)
def test_an_answer_that_nothing_ends_says_what_to_do(source: str, remedy: str) -> None:
    tokenizer = tokenizer_of("qwen2_5")
    assert tokenizer.backend.token_to_id("<|im_end|>") == 257
    ended = "{% for m in messages %}{{ m.content }}<|im_start|>{% endfor %}"
    tokenizer = replace(tokenizer, source=source, chat_template=ended)
    with pytest.raises(CheckpointError, match=rf"without a stop token .*ends the turn with '<\|im_start\|>': {remedy}"):
        encode_answers(tokenizer, CONVERSATIONS["turns"][0])
