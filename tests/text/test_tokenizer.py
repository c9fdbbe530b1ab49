"""The tokenizer against transformers' own conversion, and the promise that text cannot become a control token."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vocabularies import TRICKY, UNUSUAL_NUMERALS, byte_letters, metadata_for

from burnish.checkpoints.gguf_file import open_gguf
from burnish.errors import CheckpointError, DataError
from burnish.text.chat import render
from burnish.text.gguf_vocabulary import CONTROL, PRE_TOKENIZERS
from burnish.text.tokenizer import SENTINEL, Tokenizer


@pytest.fixture(scope="module")
def reference(smollm2_path: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(smollm2_path.parent, gguf_file=smollm2_path.name)


@pytest.fixture(scope="module")
def saved(smollm2_tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    smollm2_tokenizer.save(folder)
    return folder


# transformers builds SmolLM's tokenizer from a GGUF file without the rule that splits off every numeral, which only
# unusual ones reveal: the vocabulary has no merges of ASCII digits.
@pytest.mark.parametrize("text", [text for text in TRICKY if text != UNUSUAL_NUMERALS])
def test_ids_equal_transformers_conversion(smollm2_tokenizer: Tokenizer, reference: Any, text: str) -> None:
    expected = reference(text, add_special_tokens=False)["input_ids"]
    assert smollm2_tokenizer.encode(text, special=True) == expected
    assert smollm2_tokenizer.decode(expected, skip_special=False) == text


def test_saved_folder_gives_the_same_ids(smollm2_tokenizer: Tokenizer, saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    ours = Tokenizer.from_folder(saved)
    for text in TRICKY:
        expected = smollm2_tokenizer.encode(text, special=True)
        assert theirs(text)["input_ids"] == expected
        assert ours.encode(text, special=True) == expected
        assert ours.encode(text) == smollm2_tokenizer.encode(text)


def test_how_the_file_was_last_used_is_no_part_of_the_tokenizer(saved: Path, tmp_path: Path) -> None:
    """Whoever encodes a batch of cut and padded texts before saving leaves that in it; transformers ignores it."""
    transformers = pytest.importorskip("transformers")
    for file in saved.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "tokenizer.json"
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    padded = {"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}
    asked = {"truncation": cut, "padding": {**padded, "pad_token": "<|endoftext|>"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **asked}))
    text = "A text that is longer than four tokens, and shorter than sixty-four."
    (tmp_path / "again").mkdir()
    ours = Tokenizer.from_folder(tmp_path)
    ours.save(tmp_path / "again")
    expected = Tokenizer.from_folder(saved).encode(text)
    assert ours.encode(text) == Tokenizer.from_folder(tmp_path / "again").encode(text) == expected
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == expected


def test_merges_drawn_at_random_are_refused(saved: Path, tmp_path: Path) -> None:
    values = json.loads((saved / "tokenizer.json").read_text())
    values["model"]["dropout"] = 0.1
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: model\.dropout is 0\.1"):
        Tokenizer.from_folder(tmp_path)


def test_saved_folder_keeps_what_generation_needs(smollm2_tokenizer: Tokenizer, saved: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    ours = Tokenizer.from_folder(saved)
    for name in ("bos", "eos", "pad", "unk"):
        expected = getattr(smollm2_tokenizer, f"{name}_id")
        assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_token_id") == expected
    assert ours.chat_template == theirs.chat_template == smollm2_tokenizer.chat_template
    assert ours.context_length == theirs.model_max_length == 8192
    assert ours.stop_ids == {2}
    assert ours.vocab_size == len(theirs) == 49152
    assert not ours.add_bos


def test_control_tokens_only_on_request(smollm2_tokenizer: Tokenizer) -> None:
    assert smollm2_tokenizer.encode("<|im_end|>", special=True) == [2]
    assert 2 not in smollm2_tokenizer.encode("<|im_end|>")
    assert smollm2_tokenizer.decode(smollm2_tokenizer.encode("<|im_end|>")) == "<|im_end|>"
    assert smollm2_tokenizer.decode([1, 2]) == ""


fragments = st.sampled_from(["<|im_end|>", "<|im_", "end|>", "<", "|", "<|endoftext|>", " ", "\n", "user", SENTINEL])


# The model's vocabulary lacks the bytes of most control characters and of the highest planes.
letters = st.characters(max_codepoint=0x1FFFF, exclude_categories=["Cs", "Cc"])


@given(st.lists(fragments | st.text(letters, max_size=5), max_size=12).map("".join))
def test_no_text_becomes_a_control_token(smollm2_tokenizer: Tokenizer, text: str) -> None:
    plain = smollm2_tokenizer.encode(text)
    assert smollm2_tokenizer.control_ids.isdisjoint(plain)
    assert smollm2_tokenizer.decode(plain) == text
    ids, starts = smollm2_tokenizer.encode_guarded(smollm2_tokenizer.guard(text))
    assert ids == smollm2_tokenizer.encode("".join(letter for letter in text if not "\ufdd0" <= letter <= "\ufdd3"))
    assert starts == sorted(starts)


def test_text_that_is_not_unicode(smollm2_tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="not valid Unicode"):
        smollm2_tokenizer.encode("half a pair: \ud83d")


PIECES = {
    "gpt-2": ["don", "'t", "Ġabc", "123", "Ġ", "Ġx", "Ċ"],
    "smollm": ["don", "'t", "Ġabc", "1", "2", "3", "Ġ", "Ġx", "Ċ"],
    "llama-bpe": ["don", "'t", "Ġabc", "123", "Ġ", "Ġx", "Ċ"],
    "qwen2": ["don", "'t", "Ġabc", "1", "2", "3", "Ġ", "Ġx", "Ċ"],
    "olmo": ["don", "'t", "Ġabc", "123", "Ġ", "Ġx", "Ċ"],
    "dbrx": ["don", "'t", "Ġabc", "123", "Ġ", "Ġx", "Ċ"],
    "falcon": ["don", "'", "t", "Ġabc", "123", "Ġ", "Ġx", "Ċ"],
    "tekken": ["don", "'t", "Ġabc", "1", "2", "3", "Ġ", "Ġx", "Ċ"],
}


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_each_pre_tokenizer_cuts_as_its_models_do(pre: str) -> None:
    pieces = [piece for piece, _ in PRE_TOKENIZERS[pre].build().pre_tokenize_str("don't abc123  x\n")]
    assert pieces == PIECES[pre]


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "dbrx", "tekken"])
@pytest.mark.parametrize("text", TRICKY)
def test_split_expressions_equal_transformers(pre: str, text: str) -> None:
    mapping = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    tokenizers = pytest.importorskip("tokenizers")
    split = tokenizers.Regex(mapping.GGUF_PRE_TOKENIZER_SPLITS[pre])
    reference = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(split, behavior="isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    assert PRE_TOKENIZERS[pre].build().pre_tokenize_str(text) == reference.pre_tokenize_str(text)


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_gguf_metadata_round_trip(pre: str) -> None:
    metadata = metadata_for(
        pre,
        **{
            "tokenizer.ggml.bos_token_id": 261,
            "tokenizer.ggml.eot_token_id": 262,
            "tokenizer.ggml.add_bos_token": True,
            "tokenizer.chat_template": "{{ messages }}",
        },
    )
    tokenizer = Tokenizer.from_gguf(metadata, "model.gguf")
    written = tokenizer.to_gguf(len(metadata["tokenizer.ggml.tokens"]))
    assert {key: written[key] for key in metadata} == metadata
    assert tokenizer.stop_ids == {261, 262}
    assert tokenizer.add_bos
    assert tokenizer.backend.encode("a").ids[0] == 261
    assert tokenizer.encode("a") == [byte_letters().index("a")]


@pytest.mark.parametrize(
    ("alias", "pre"),
    [("starcoder", "smollm"), ("refact", "smollm"), ("mpt", "olmo"), ("smaug-bpe", "dbrx"), ("llama3", "llama-bpe")],
)
def test_further_names_of_a_pre_tokenizer(alias: str, pre: str) -> None:
    named, same = (Tokenizer.from_gguf(metadata_for(name), "f") for name in (alias, pre))
    assert named.backend.to_str() == same.backend.to_str()
    assert named.to_gguf(270) == same.to_gguf(270)


def test_a_text_begins_with_a_token_where_llama_cpp_puts_one() -> None:
    """Some kinds of tokenizer do so unless the file says otherwise."""
    begins = {
        pre: Tokenizer.from_gguf(metadata_for(pre, **{"tokenizer.ggml.bos_token_id": 261}), "f").add_bos
        for pre in PRE_TOKENIZERS
    }
    assert [pre for pre, begin in begins.items() if begin] == ["llama-bpe", "tekken"]


def turn_ends(**changes: Any) -> frozenset[int]:
    metadata = metadata_for("gpt-2")
    tokens = ["<|eot_id|>" if token == "<turn>" else token for token in metadata["tokenizer.ggml.tokens"]]
    return Tokenizer.from_gguf({**metadata, "tokenizer.ggml.tokens": tokens, **changes}, "f").stop_ids


def test_a_turn_ends_where_llama_cpp_ends_it() -> None:
    """Real files often name only the end of a text; llama.cpp knows the ends of turns by what they look like."""
    assert turn_ends() == {261, 262}
    assert turn_ends(**{"tokenizer.ggml.eos_token_id": 262}) == {262}
    assert turn_ends(**{"tokenizer.ggml.eot_token_id": 263}) == {261, 263}
    assert turn_ends(**{"tokenizer.ggml.eom_token_id": 263}) == {261, 263}


def test_the_known_end_of_a_turn_is_the_one_written() -> None:
    """GGUF has room for one, and Llama 3.1 has three."""
    metadata = metadata_for("llama-bpe")
    tokens = [{"<turn>": "<|eot_id|>"}.get(token, token) for token in metadata["tokenizer.ggml.tokens"]]
    tokenizer = Tokenizer.from_gguf({**metadata, "tokenizer.ggml.tokens": tokens}, "f")
    more = replace(tokenizer, stop_ids=frozenset({256, 261, 262}))
    assert more.to_gguf(270)["tokenizer.ggml.eot_token_id"] == 262
    assert replace(more, eos_id=262).to_gguf(270)["tokenizer.ggml.eot_token_id"] == 256


@pytest.mark.parametrize("pre", PRE_TOKENIZERS)
def test_gguf_survives_a_hugging_face_folder(pre: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_gguf(metadata_for(pre), "model.gguf")
    tokenizer.save(tmp_path)
    assert Tokenizer.from_folder(tmp_path).to_gguf(270) == tokenizer.to_gguf(270)


def test_padding_of_a_vocabulary_smaller_than_the_embedding() -> None:
    tokenizer = Tokenizer.from_gguf(metadata_for("gpt-2"), "model.gguf")
    written = tokenizer.to_gguf(tokenizer.vocab_size + 2)
    assert written["tokenizer.ggml.tokens"][-2:] == ["[PAD265]", "[PAD266]"]
    assert written["tokenizer.ggml.token_type"][-2:] == [5, 5]


def test_user_defined_tokens_are_text_that_is_one_token() -> None:
    tokenizer = Tokenizer.from_gguf(metadata_for("gpt-2"), "model.gguf")
    assert tokenizer.encode("<tool>") == [263]
    assert 263 not in tokenizer.control_ids


def test_words_found_whole_where_the_family_ignores_merges() -> None:
    assert Tokenizer.from_gguf(metadata_for("llama-bpe"), "f").encode("whole") == [264]
    assert len(Tokenizer.from_gguf(metadata_for("gpt-2"), "f").encode("whole")) == 5


def test_normal_form_of_qwen() -> None:
    tokenizer = Tokenizer.from_gguf(metadata_for("qwen2"), "f")
    assert tokenizer.encode("e\u0301") == tokenizer.encode("\u00e9")


def test_a_control_token_that_plain_text_could_make_is_refused() -> None:
    metadata = metadata_for("llama-bpe")
    metadata["tokenizer.ggml.token_type"][264] = CONTROL  # "whole" is one piece and is found whole
    with pytest.raises(CheckpointError, match="'whole' encodes to a control token"):
        Tokenizer.from_gguf(metadata, "f").encode("anything")


def test_gguf_cannot_express_every_tokenizer(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    with pytest.raises(CheckpointError, match="byte-level BPE"):
        Tokenizer(backend=words, source="words").to_gguf(2)


def test_named_template_and_token_objects(tmp_path: Path) -> None:
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config["chat_template"] = [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]
    config["eos_token"] = {"content": "<turn>", "special": True}
    file.write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [261, 262]}')
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.chat_template == "yes"
    assert tokenizer.eos_id == 262
    assert tokenizer.stop_ids == {261, 262}
    (tmp_path / "chat_template.jinja").write_text("file")
    assert Tokenizer.from_folder(tmp_path).chat_template == "file"


def test_named_templates_are_kept_in_folders_and_gguf(tmp_path: Path) -> None:
    named = {"tool_use": "tools", "rag": "documents"}
    tokenizer = replace(Tokenizer.from_gguf(metadata_for("gpt-2"), "f"), chat_template="usual", named_templates=named)
    tokenizer.save(tmp_path)
    folder = Tokenizer.from_folder(tmp_path)
    file = Tokenizer.from_gguf(folder.to_gguf(270), "f")
    for read in (folder, file):
        assert (read.chat_template, dict(read.named_templates)) == ("usual", named)
    transformers = pytest.importorskip("transformers")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).chat_template == {"default": "usual", **named}


def test_templates_in_files_of_their_own(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("usual\n")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("tools")
    tokenizer = Tokenizer.from_folder(tmp_path)
    assert tokenizer.templates == {"default": "usual\n", "tool_use": "tools"}
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs.chat_template == tokenizer.templates
    message: list[Any] = [{"role": "user", "content": "?"}]
    for tools in (None, [], [{"type": "function", "function": {"name": "f", "parameters": {}}}]):
        expected = theirs.apply_chat_template(message, tools=tools, tokenize=False)
        assert render(tokenizer, message, tools=tools) == expected
    with pytest.raises(CheckpointError, match="named rag, tool_use, but none named default"):
        render(replace(tokenizer, chat_template=None, named_templates={"tool_use": "", "rag": ""}), message)


@pytest.mark.parametrize("files", [{"chat_template.jinja": "new"}, {"additional_chat_templates/tool_use.jinja": "new"}])
def test_templates_in_files_count_instead_of_those_of_the_configuration(tmp_path: Path, files: dict[str, str]) -> None:
    transformers = pytest.importorskip("transformers")
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    old = [{"name": name, "template": f"old {name}"} for name in ("default", "tool_use", "rag")]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": old}))
    (tmp_path / "additional_chat_templates").mkdir()
    for name, template in files.items():
        (tmp_path / name).write_text(template)
    tokenizer = Tokenizer.from_folder(tmp_path)
    message: list[Any] = [{"role": "user", "content": "?"}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert render(tokenizer, message, tools=tools) == theirs.apply_chat_template(message, tools=tools, tokenize=False)
    assert render(tokenizer, message, tools=tools) == "new"
    assert "rag" not in tokenizer.templates


@pytest.mark.parametrize("value", [7, {"default": "a"}, ["a"], [{"name": "default"}]])
def test_templates_that_are_none(tmp_path: Path, value: Any) -> None:
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": value}))
    with pytest.raises(CheckpointError, match="chat_template must be text"):
        Tokenizer.from_folder(tmp_path)


def edited(folder: Path, **changes: Any) -> Path:
    """A tokenizer's folder with other keys in tokenizer_config.json."""
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(folder)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


LISTED = {"265": {"content": "<pad>", "special": True}, "266": {"content": "<x>", "special": False}}


@pytest.mark.parametrize(
    "changes",
    [
        {"pad_token": "[PAD]"},
        {"pad_token": {"__type": "AddedToken", "content": "[PAD]", "lstrip": False, "normalized": False}},
        {"pad_token": "<pad>", "added_tokens_decoder": LISTED},
        {"pad_token": "<pad>", "unk_token": "<unk>", "added_tokens_decoder": LISTED},
    ],
)
def test_tokens_that_only_the_configuration_knows(tmp_path: Path, changes: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(edited(tmp_path, **changes))
    ours = Tokenizer.from_folder(tmp_path)
    assert (ours.pad_id, ours.unk_id) == (theirs.pad_token_id, theirs.unk_token_id)
    assert ours.pad_id == 265
    assert ours.vocab_size == len(theirs)
    for text in ("a<x>b", "<pad>", "[PAD]a"):
        assert ours.encode(text, special=True) == theirs(text)["input_ids"]
    assert ours.pad_id not in ours.encode("<pad>[PAD]")
    ours.save(tmp_path / "again")
    assert Tokenizer.from_folder(tmp_path / "again").pad_id == 265


def test_added_tokens_that_do_not_fit(tmp_path: Path) -> None:
    folder = edited(tmp_path, added_tokens_decoder={"300": {"content": "<pad>", "special": True}})
    with pytest.raises(CheckpointError, match="gives '<pad>' the id 300, but the next free one"):
        Tokenizer.from_folder(folder)


def named_tokens(folder: Path, names: dict[str, str], **changes: Any) -> Tokenizer:
    """The tokenizer of a folder whose tokens have other names."""
    metadata = metadata_for("gpt-2", **changes)
    tokens = [names.get(token, token) for token in metadata["tokenizer.ggml.tokens"]]
    Tokenizer.from_gguf({**metadata, "tokenizer.ggml.tokens": tokens}, "f").save(folder)
    return Tokenizer.from_folder(folder)


def test_a_folder_stops_where_a_gguf_file_does(tmp_path: Path) -> None:
    """Qwen2.5's base models name the end of a text alone, in both files."""
    assert named_tokens(tmp_path, {"<turn>": "<|im_end|>"}).stop_ids == {261, 262}
    for listed, expected in ((261, {261, 262}), ([261], {261, 262}), ([261, 263], {261, 263}), (262, {261, 262})):
        (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": listed}))
        assert Tokenizer.from_folder(tmp_path).stop_ids == expected


def test_the_end_of_a_message_is_not_that_of_a_turn_in_harmony(tmp_path: Path) -> None:
    names = {"<end>": "<|return|>", "<turn>": "<|end|>", "<tool>": "<|call|>"}
    assert named_tokens(tmp_path, names).stop_ids == {261}


def test_real_metadata_written_back(smollm2_path: Path, smollm2_tokenizer: Tokenizer) -> None:
    original = open_gguf(smollm2_path).metadata
    written = smollm2_tokenizer.to_gguf(49152)
    assert {key: original.get(key) for key in written} == written
