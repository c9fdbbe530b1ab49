"""SentencePiece's BPE in GGUF: against the algorithm written out, transformers' converter, and through both formats."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, trainers
from vocabularies import TRICKY, corpus, sentencepiece_metadata

from burnish.errors import CheckpointError
from burnish.text.gguf_vocabulary import BYTE, CONTROL, UNKNOWN, model_name, spaces_key
from burnish.text.tokenizer import Tokenizer

with_and_without_prefix = pytest.mark.parametrize("prefix", [True, False])


def read(*, prefix: bool, **changes: Any) -> Tokenizer:
    metadata = {**sentencepiece_metadata(prefix=prefix), **changes}
    return Tokenizer.from_gguf({key: value for key, value in metadata.items() if value is not ...}, "model.gguf")


@pytest.fixture(scope="module")
def tokenizers() -> dict[bool, Tokenizer]:
    return {prefix: read(prefix=prefix) for prefix in (True, False)}


def merged_by_scores(text: str, metadata: dict[str, Any]) -> list[str]:
    """SentencePiece's algorithm: while two neighbours make a token, merge the two with the best one, the left first."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    scores = {
        token: score
        for token, kind, score in zip(tokens, types, metadata["tokenizer.ggml.scores"], strict=True)
        if kind not in (BYTE, CONTROL, UNKNOWN)
    }
    symbols = list(("\u2581" if metadata["tokenizer.ggml.add_space_prefix"] else "") + text.replace(" ", "\u2581"))
    while True:
        pairs = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not pairs:
            break
        place = min(pairs)[1]
        symbols[place : place + 2] = ["".join(symbols[place : place + 2])]
    return [token for s in symbols for token in ([s] if s in scores else [f"<0x{byte:02X}>" for byte in s.encode()])]


letters = st.sampled_from(" \tabcdefthe1,.'<>/日本語éßñ🙂\u0301") | st.characters(exclude_categories=["Cs"])


@given(st.lists(letters, min_size=1, max_size=30).map("".join))
@example("  two leading spaces")
@example("</s><unk><0x41>")
@example("ababababab aaaaaaa the the thethe")
def test_merges_follow_the_scores(tokenizers: dict[bool, Tokenizer], text: str) -> None:
    """Without user-defined tokens, which are cut out before anything is merged."""
    tokenizer = tokenizers[True]
    expected = merged_by_scores(text, sentencepiece_metadata(prefix=True))
    assert [tokenizer.token(i) for i in tokenizer.encode(text)] == expected
    assert tokenizer.decode(tokenizer.encode(text)) == text


@with_and_without_prefix
@pytest.mark.parametrize("text", TRICKY)
def test_real_texts(tokenizers: dict[bool, Tokenizer], prefix: bool, text: str) -> None:
    tokenizer = tokenizers[prefix]
    if prefix and text:
        expected = merged_by_scores(text, sentencepiece_metadata(prefix=True))
        assert [tokenizer.token(i) for i in tokenizer.encode(text)] == expected
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.control_ids.isdisjoint(tokenizer.encode(text))


def test_merges_equal_those_of_transformers_converter(tokenizers: dict[bool, Tokenizer]) -> None:
    base = pytest.importorskip("transformers.tokenization_utils_base")
    metadata = sentencepiece_metadata(prefix=True)
    tokens = metadata["tokenizer.ggml.tokens"]
    apart = {t for t, kind in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True) if kind != 1}
    expected = base.generate_merges(
        {token: i for i, token in enumerate(tokens)},
        dict(zip(tokens, metadata["tokenizer.ggml.scores"], strict=True)),
        skip_tokens=apart,
    )
    found = json.loads(tokenizers[True].backend.to_str())["model"]["merges"]
    assert [tuple(merge) for merge in found] == expected


@pytest.mark.parametrize("text", [text for text in TRICKY if not text.startswith(" ") and "<|" not in text])
def test_ids_equal_the_tokenizers_that_transformers_builds(tokenizers: dict[bool, Tokenizer], text: str) -> None:
    """Before a text that begins with a space, transformers 5 puts none more; llama.cpp does, and so do we."""
    transformers = pytest.importorskip("transformers")
    for prefix, kind in ((True, transformers.LlamaTokenizer), (False, transformers.GemmaTokenizer)):
        metadata = sentencepiece_metadata(prefix=prefix)
        tokens = metadata["tokenizer.ggml.tokens"]
        model = json.loads(tokenizers[prefix].backend.to_str())["model"]
        reference = kind(
            vocab={token: i for i, token in enumerate(tokens)},
            merges=[tuple(merge) for merge in model["merges"]],
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
        )
        if prefix or not any(token in text for token in ("\n", "  ")):  # which it does not know as tokens
            expected = reference(text, add_special_tokens=False)["input_ids"]
            assert tokenizers[prefix].encode(text) == expected


@with_and_without_prefix
def test_metadata_round_trip(prefix: bool) -> None:
    metadata = sentencepiece_metadata(prefix=prefix)
    tokenizer = read(prefix=prefix)
    assert tokenizer.to_gguf(len(metadata["tokenizer.ggml.tokens"])) == metadata
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.stop_ids) == (1, 2, 0, {2, 4})
    padded = tokenizer.to_gguf(tokenizer.vocab_size + 2)
    assert padded["tokenizer.ggml.tokens"][-1] == f"[PAD{tokenizer.vocab_size + 1}]"
    assert padded["tokenizer.ggml.scores"][-1] == -1000.0


@with_and_without_prefix
def test_a_hugging_face_folder_gives_the_same_ids(
    tokenizers: dict[bool, Tokenizer], prefix: bool, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = tokenizers[prefix]
    tokenizer.save(tmp_path)
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), Tokenizer.from_folder(tmp_path)
    assert ours.add_bos
    turn_end = {"tokenizer.ggml.eot_token_id": 4}  # which a folder says in generation_config.json
    assert {**ours.to_gguf(1500), **turn_end} == tokenizer.to_gguf(1500)
    for text in TRICKY:
        expected = tokenizer.encode(text, special=True)
        assert ours.encode(text, special=True) == expected
        assert theirs(text)["input_ids"] == [1, *expected]
        assert theirs.decode(expected, clean_up_tokenization_spaces=False) == tokenizer.decode(
            expected, skip_special=False
        )


def test_what_an_older_file_leaves_out() -> None:
    names = ("bos_token_id", "eos_token_id", "unknown_token_id", "add_bos_token", "add_space_prefix", "eot_token_id")
    old = read(prefix=True, **{f"tokenizer.ggml.{name}": ... for name in names})
    assert (old.bos_id, old.eos_id, old.unk_id, old.add_bos) == (1, 2, 0, True)
    assert old.encode("a") == read(prefix=True).encode("a")
    assert old.stop_ids == {2, 4}  # <|im_end|> is known to end a turn


def test_user_defined_tokens_are_found_before_anything_is_merged(tokenizers: dict[bool, Tokenizer]) -> None:
    tokenizer = tokenizers[False]
    ids = tokenizer.encode("a      b\n\n\n<b>c")
    assert [tokenizer.token(i) for i in ids] == ["a", "    ", "  ", "b", "\n\n", "\n", "<b>", "c"]
    assert tokenizer.decode(ids) == "a      b\n\n\n<b>c"


def test_spaces_behind_the_control_tokens_of_phi3() -> None:
    """The architecture says that they belong to the token, or a key; llama.cpp goes by the name, which says it too."""
    metadata = sentencepiece_metadata(prefix=True)
    tokens = [{"<|im_start|>": "<|endoftext|>"}.get(t, t) for t in metadata["tokenizer.ggml.tokens"]]
    texts = {"general.name": "Phi-3 mini", "tokenizer.ggml.tokens": tokens}
    phi3 = {**texts, "general.architecture": "phi3"}
    plain, swallowing = read(prefix=True, **texts), read(prefix=True, **phi3)
    text = "<|im_end|> \n a<s> b"
    assert swallowing.encode(text, special=True) == plain.encode("<|im_end|>a<s> b", special=True)
    assert swallowing.encode(text, special=True) != plain.encode(text, special=True)
    assert spaces_key(plain.backend, "llama") == spaces_key(swallowing.backend, "phi3") == {}
    for tokenizer, other in ((swallowing, {**texts, "general.architecture": "llama"}), (plain, phi3)):
        key = spaces_key(tokenizer.backend, other["general.architecture"])
        assert read(prefix=True, **other, **key).encode(text, special=True) == tokenizer.encode(text, special=True)
    assert model_name("chat", plain.backend) == "chat"
    assert model_name("chat", swallowing.backend) == "chat (phi-3)"
    assert model_name("My-Phi-3", swallowing.backend) == "My-Phi-3"
    assert model_name("my-Phi3-and-phi-3.gguf", plain.backend) == "my-Phi_3-and-phi_3.gguf"


def test_a_text_goes_on_without_a_space(tokenizers: dict[bool, Tokenizer]) -> None:
    for prefix, tokenizer in tokenizers.items():
        whole = tokenizer.encode("some text<|im_end|>more", special=True)
        first, _ = tokenizer.encode_guarded("some ")
        second, starts = tokenizer.encode_guarded("text<|im_end|>", after=first[-1])
        assert tokenizer.decode([*first, *second]) == "some text"
        assert starts[0] == 0
        third, _ = tokenizer.encode_guarded("more", after=second[-1])
        assert third == whole[whole.index(4) + 1 :], prefix  # behind a control token a text begins anew
        assert tokenizer.encode_guarded("", after=first[-1]) == ([], [])
        assert tokenizer.encode_guarded("<|im_end|>", after=first[-1]) == ([4], [0])


@pytest.mark.parametrize("scheme", ["first", "always", "never"])
def test_a_text_goes_on_without_a_space_in_a_metaspace_tokenizer(
    tokenizers: dict[bool, Tokenizer], scheme: str
) -> None:
    backend = Backend.from_str(tokenizers[True].backend.to_str())
    backend.normalizer = normalizers.Sequence([])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme, split=False)
    tokenizer = Tokenizer(backend=backend, source="metaspace")
    assert tokenizer.to_gguf(1500)["tokenizer.ggml.add_space_prefix"] == (scheme != "never")
    first, _ = tokenizer.encode_guarded("some ")
    second, starts = tokenizer.encode_guarded("text<|im_end|>", after=first[-1])
    words = [tokenizer.token(i) for i in (*first, *second)]
    assert "".join(map(str, words)) == ("" if scheme == "never" else "\u2581") + "some\u2581text<|im_end|>"
    assert starts == sorted(starts)
    third, _ = tokenizer.encode_guarded("more", after=second[-1])
    assert third == tokenizer.encode("<|im_end|>more", special=True)[1:]


def test_what_gguf_cannot_express(tokenizers: dict[bool, Tokenizer]) -> None:
    trained = Backend(models.BPE(byte_fallback=True))
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=600, show_progress=False))
    with pytest.raises(CheckpointError, match="not those of any scores"):
        Tokenizer(backend=trained, source="trained").to_gguf(600)
    description = json.loads(tokenizers[True].backend.to_str())
    description["model"]["vocab"]["\u2603odd"] = description["model"]["vocab"].pop("<0x41>")
    with pytest.raises(CheckpointError, match="needs a token for every byte, and <0x41> is missing"):
        Tokenizer(backend=Backend.from_str(json.dumps(description)), source="odd").to_gguf(1500)
    lower = Backend.from_str(tokenizers[True].backend.to_str())
    lower.normalizer = normalizers.Lowercase()
    with pytest.raises(CheckpointError, match="cuts text in another way"):
        Tokenizer(backend=lower, source="lower").to_gguf(1500)


@pytest.mark.parametrize("scores", [..., [1.0], "x", ["a"] * 1460])
def test_scores_that_are_no_scores(scores: Any) -> None:
    with pytest.raises(CheckpointError, match=r"model is 'llama', which needs tokenizer.ggml.scores"):
        read(prefix=True, **{"tokenizer.ggml.scores": scores})
