"""Small vocabularies of each kind, trained on this repository's own pages."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, trainers

from burnish.text.gguf_vocabulary import BYTE, CONTROL, NORMAL, PRE_TOKENIZERS, UNKNOWN, USER_DEFINED

UNUSUAL_NUMERALS = "x² ¾ ٣٤ Ⅻ"

TRICKY = [
    "",
    " ",
    "Hello world",
    "  two  spaces   and\ttabs\t\t",
    "line\n\nline\r\n \n   indented",
    "1234567890 3.14159 1,000,000",
    UNUSUAL_NUMERALS,
    "don't I'll WE'RE they'd",
    "naïve café — “quotes” … ñ Ω ß İ",
    "日本語のテキスト 中文 한국어 العربية हिन्दी",
    "👩‍👩‍👧‍👦 🇫🇷 👍🏽 emoji",
    "e\u0301 combining, \u200bzero width, \ufeffmark, \u00a0hard space",
    "def f(x):\n    return x**2  # 2 < 3 && y != 'a'\n",
    "SELECT COUNT(*) FROM flights WHERE dep_delay >= 15;",
    "<|im_start|>user\nhi<|im_end|>\n",
    "<|im_end|><|im_end|> <|endoftext|>",
]

_CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def corpus() -> list[str]:
    """Paragraphs without the text of a control token, which no merge may make."""
    pages = [Path(__file__).parents[2] / "README.md", Path(__file__)]
    texts = [text for page in pages for text in page.read_text(encoding="utf-8").split("\n\n")] + TRICKY * 2
    return [text for text in texts if not any(token in text for token in ("<|", "<s>", "<unk>", "<0x", "<b>"))]


@cache
def byte_level_metadata(pre: str) -> dict[str, Any]:
    """GGUF metadata of byte-level BPE whose vocabulary was learned with the pre-tokenizer `pre`."""
    rule = PRE_TOKENIZERS[pre]
    backend = Backend(models.BPE())
    backend.pre_tokenizer = rule.build()
    if rule.nfc:
        backend.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=1200, initial_alphabet=alphabet, show_progress=False)
    )
    merges = [" ".join(merge) for merge in json.loads(backend.to_str())["model"]["merges"]]
    tokens = _in_order(backend.get_vocab())
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": [*tokens, *_CONTROLS, "<tool>"],
        "tokenizer.ggml.token_type": [NORMAL] * len(tokens) + [CONTROL] * 3 + [USER_DEFINED],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.bos_token_id": len(tokens),
        "tokenizer.ggml.eos_token_id": len(tokens) + 2,
        "tokenizer.ggml.add_bos_token": False,
    }


@cache
def sentencepiece_metadata(*, prefix: bool) -> dict[str, Any]:
    """GGUF metadata of SentencePiece's BPE, laid out as in Llama 2: control tokens, bytes, merged tokens, letters.

    Without the prefix it has Gemma's runs of spaces and line ends as user-defined tokens.
    """
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.Replace(" ", "▁")
    # Words never hold a space in the middle, and line ends stand alone.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("\n", "isolated"), pre_tokenizers.Split("▁", "merged_with_next")]
    )
    backend.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=1200, show_progress=False))
    learned = _in_order(backend.get_vocab())
    merged, letters = [t for t in learned if len(t) > 1], [t for t in learned if len(t) == 1 and t != "\n"]
    controls = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    defined = [] if prefix else ["\n", "\n\n", "  ", "    ", "<b>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*controls, *byte_tokens, *defined, *merged, *letters]
    types = [UNKNOWN, *[CONTROL] * 4, *[BYTE] * 256, *[USER_DEFINED] * len(defined), *[NORMAL] * len(learned)]
    scores = [0.0] * 261 + [-1000.0] * len(defined) + [-float(i) for i in range(len(merged) + len(letters))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types[: len(tokens)],
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.add_space_prefix": prefix,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.eot_token_id": 4,
        "tokenizer.ggml.add_bos_token": True,
    }


def _in_order(vocabulary: dict[str, int]) -> list[str]:
    return sorted(vocabulary, key=vocabulary.__getitem__)


def byte_letters() -> list[str]:
    """The 256 letters of byte-level BPE, in byte order (GPT-2's `bytes_to_unicode`)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def metadata_for(pre: str, **changes: Any) -> dict[str, Any]:
    merges = ["a b", "ab c", "1 2", "12 3", "Ġ a"]
    words = [*byte_letters(), *(merge.replace(" ", "") for merge in merges)]
    tokens = [*words, "<end>", "<turn>", "<tool>", "whole"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [NORMAL] * len(words) + [CONTROL, CONTROL, USER_DEFINED, NORMAL],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": tokens.index("<end>"),
        **changes,
    }
