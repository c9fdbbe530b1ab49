"""Settings of tokenizer_config.json: transformers' tokens for each of them, or a refusal that names it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend
from vocabularies import metadata_for

from burnish.errors import CheckpointError
from burnish.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

TEXTS = (
    *("a b", " a", "a ", "", " ", "a <end> b <turn> c", " <turn>", "<end>  <tool> a\n", "a<tool>b <x>  c", "x<sep>y"),
    *("A \u00e9 1234 'll", "  hello world\n\n<turn>\n"),
)
LISTED = {
    str(token_id): {"content": text, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    for token_id, text, special in ((261, "<end>", True), (262, "<turn>", True), (263, "<tool>", False))
}


def listed(**flags: bool) -> dict[str, Any]:
    """The three added tokens of the vocabulary, the second with other flags."""
    return {"added_tokens_decoder": {**LISTED, "262": {**LISTED["262"], **flags}}}


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "listed as they are": listed(),
    "lstrip and rstrip": listed(lstrip=True, rstrip=True),
    "rstrip": listed(rstrip=True),
    "single_word": listed(single_word=True),
    "normalized": listed(normalized=True),
    "not special": listed(special=False),
    "one listed": {"added_tokens_decoder": {"262": {**LISTED["262"], "rstrip": True}}},
    "a further one listed": {"added_tokens_decoder": {**LISTED, "265": {"content": "<x>", "rstrip": True}}},
    "a space": {"add_prefix_space": True},
    "no space": {"add_prefix_space": False},
    "split": {"split_special_tokens": True},
    "not split": {"split_special_tokens": False},
    "extra": {"extra_special_tokens": ["<x>", "<sep>"]},
    "additional": {"additional_special_tokens": ["<x>", "<turn>"]},
    "extra by name": {"extra_special_tokens": {"image_token": "<x>"}},
    "extra of the vocabulary": {"extra_special_tokens": ["a"]},
    "sep": {"sep_token": "<sep>"},
    "mask with flags": {"mask_token": {"__type": "AddedToken", "content": "<sep>", "lstrip": True}},
    "several": {"mask_token": "<x>", "unk_token": "<sep>", "cls_token": "<end>"},
    "image": {"image_token": "<x>"},
    "eos with flags": {"eos_token": {"__type": "AddedToken", "content": "<turn>", "rstrip": True}},
    "eos listed with flags": {"eos_token": "<turn>", **listed(rstrip=True)},
    "others": {
        **{"legacy": True, "do_lower_case": True, "strip_accents": True, "clean_up_tokenization_spaces": True},
        **{"trim_offsets": False, "truncation_side": "left", "add_bos_token": True, "use_default_system_prompt": True},
    },
}
REFUSED = {"split": "split_special_tokens", "a space": "add_prefix_space", "one listed": "added_tokens_decoder"}


def edited(folder: Path, **changes: Any) -> Path:
    """The folder with other keys in tokenizer_config.json."""
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return folder


def ids(folder: Path, texts: Sequence[str] = TEXTS) -> tuple[list[list[int]], list[list[int]]]:
    """The ids of all texts by transformers and by Burnish."""
    theirs, ours = transformers.AutoTokenizer.from_pretrained(folder), Tokenizer.from_folder(folder)
    return (
        [theirs.encode(text, add_special_tokens=False) for text in texts],
        [ours.backend.encode(text, add_special_tokens=False).ids for text in texts],
    )


@pytest.mark.parametrize(
    "kind", ["PreTrainedTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast", "LlamaTokenizerFast"]
)
@pytest.mark.parametrize("name", CHANGES)
def test_tokens_are_those_of_transformers_or_the_key_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    edited(tmp_path, tokenizer_class=kind, **CHANGES[name])
    if name in REFUSED and (name == "split" or kind.startswith("GPT2")):
        with pytest.raises(CheckpointError, match=rf"tokenizer_config\.json: {REFUSED[name]} .*(remove|set)"):
            Tokenizer.from_folder(tmp_path)
    else:
        theirs, ours = ids(tmp_path)
        assert ours == theirs


def test_settings_do_change_tokens(tmp_path: Path) -> None:
    """Else the test above would compare nothing."""
    Tokenizer.from_gguf(metadata_for("gpt-2"), "f").save(tmp_path)
    before = ids(tmp_path)[0]
    assert ids(edited(tmp_path, **CHANGES["rstrip"]))[0] != before


def pieces(prefix: str) -> Backend:
    """A small vocabulary of SentencePiece's kind."""
    texts = ["<unk>", "<s>", "<end>", "\u2581", *"abcdehlorw", "\u2581a", "\u2581b"]
    merges = [("\u2581", "a"), ("\u2581", "b")]
    vocabulary = {text: place for place, text in enumerate(texts)}
    model = models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prefix, split=False)
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken(text, normalized=False) for text in texts[:3]])
    return backend


@pytest.mark.parametrize(("prefix", "stated"), [("first", True), ("first", False), ("never", True), ("never", False)])
def test_the_space_before_a_text_of_sentencepiece(prefix: str, stated: bool, tmp_path: Path) -> None:
    pieces(prefix).save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": stated, "unk_token": "<unk>", "legacy": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": "<s>", "eos_token": "<end>"}))
    if (prefix == "first") != stated:
        with pytest.raises(CheckpointError, match=r"add_prefix_space is .*the class LlamaTokenizer"):
            Tokenizer.from_folder(tmp_path)
    else:
        theirs, ours = ids(tmp_path, ["a b", " a", "a ", "a <end> b", "<end>  a<end>b", "abc  hello", ""])
        assert ours == theirs


@pytest.mark.parametrize("key", ["do_lower_case", "strip_accents", "tokenize_chinese_chars"])
@pytest.mark.parametrize("stated", [True, False])
def test_how_bert_normalizes(key: str, stated: bool, tmp_path: Path) -> None:
    texts = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]", *"abcxyz", "##b", "##c"]
    backend = Backend(models.WordPiece({text: place for place, text in enumerate(texts)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True, handle_chinese_chars=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(texts[:5])
    backend.save(str(tmp_path / "tokenizer.json"))
    states = {"do_lower_case": True, "strip_accents": True, "tokenize_chinese_chars": True, key: stated}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **states}))
    if not stated:
        with pytest.raises(CheckpointError, match=f"{key} is false, but tokenizer.json has true for it"):
            Tokenizer.from_folder(tmp_path)
    else:
        theirs, ours = ids(tmp_path)
        assert ours == theirs
