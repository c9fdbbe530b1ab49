"""The vocabulary that a GGUF file's metadata hold, to a `tokenizers` backend and back.

GGUF names a pre-tokenizer (`tokenizer.ggml.pre`) where Hugging Face's tokenizer.json describes it, so the known
ones are a table of data here. Only byte-level BPE (`tokenizer.ggml.model` "gpt2") is supported.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from burnish.errors import CheckpointError

# `tokenizer.ggml.token_type`, from llama.cpp's `llama_token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5


@dataclass(frozen=True, kw_only=True)
class PreTokenizer:
    """How text is cut into pieces before byte-pair merges; `split` None means GPT-2's own expression."""

    split: str | None = None
    single_digits: bool = False
    nfc: bool = False
    ignore_merges: bool = False

    def build(self) -> pre_tokenizers.PreTokenizer:
        steps: list[pre_tokenizers.PreTokenizer] = []
        if self.single_digits:
            steps.append(pre_tokenizers.Digits(individual_digits=True))
        if self.split is not None:
            steps.append(pre_tokenizers.Split(Regex(self.split), behavior="isolated"))
        steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.split is None))
        return pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]


_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

# Keyed by `tokenizer.ggml.pre`. The expressions are those of llama.cpp's `llama-vocab.cpp`, which agree with the
# tokenizer.json of the models they are named after.
PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer(),
    "smollm": PreTokenizer(single_digits=True),
    "llama-bpe": PreTokenizer(split=rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}", ignore_merges=True),
    "qwen2": PreTokenizer(split=rf"{_WORDS}|\p{{N}}|{_REST}", nfc=True),
}


def read_vocabulary(metadata: Mapping[str, Any], source: str) -> Tokenizer:
    """The tokenizer that `tokenizer.ggml.*` describe; `source` names the file in errors.

    Control tokens become special added tokens, user-defined ones added tokens. Raises `CheckpointError` naming
    the key for another kind of tokenizer, missing or inconsistent lists, and an unknown pre-tokenizer.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(
            f"{source}: tokenizer.ggml.model is {kind!r}; only 'gpt2' (byte-level BPE) is supported. "
            "Load the model's Hugging Face folder instead"
        )
    pre = metadata.get("tokenizer.ggml.pre")
    if pre not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"{source}: tokenizer.ggml.pre is {pre!r}; the known ones are {', '.join(PRE_TOKENIZERS)}. "
            "Load the model's Hugging Face folder instead"
        )
    rule = PRE_TOKENIZERS[pre]
    tokens = _list_of(str, metadata, "tokens", source)
    types = _list_of(int, metadata, "token_type", source)
    merges = [tuple(merge.split(" ")) for merge in _list_of(str, metadata, "merges", source)]
    if len(types) != len(tokens):
        raise CheckpointError(f"{source}: tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens")
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if ids[token] != i)
        raise CheckpointError(f"{source}: tokenizer.ggml.tokens holds {twice!r} twice")
    if odd := next((merge for merge in merges if len(merge) != 2), None):
        raise CheckpointError(f"{source}: tokenizer.ggml.merges holds {' '.join(odd)!r}, which is not a pair")
    try:
        tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, ignore_merges=rule.ignore_merges))
    except Exception as error:  # the Rust library raises nothing more precise
        raise CheckpointError(f"{source}: tokenizer.ggml.merges do not fit the tokens: {error}") from error
    if rule.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = rule.build()
    tokenizer.decoder = decoders.ByteLevel()
    kinds = list(zip(tokens, types, strict=True))
    special = [token for token, kind in kinds if kind in (CONTROL, UNKNOWN)]
    added = [token for token, kind in kinds if kind == USER_DEFINED]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in added])
    return tokenizer


def write_vocabulary(tokenizer: Tokenizer, n_tokens: int, source: str) -> dict[str, Any]:
    """`tokenizer.ggml.*` metadata of a byte-level BPE tokenizer, padded with unused tokens to `n_tokens`.

    llama.cpp needs exactly one token for each row of the embedding. Raises `CheckpointError` when GGUF cannot
    express the tokenizer.
    """
    description = json.loads(tokenizer.to_str())
    model = description["model"]
    pre = next((name for name, rule in PRE_TOKENIZERS.items() if _describes(rule, description)), None)
    if model["type"] != "BPE" or pre is None:
        raise CheckpointError(
            f"{source}: GGUF files can be written for byte-level BPE with the pre-tokenizers of "
            f"{', '.join(PRE_TOKENIZERS)}; this tokenizer cuts text in another way"
        )
    tokens = [f"[PAD{i}]" for i in range(n_tokens)]
    types = [UNUSED] * n_tokens
    for token, i in model["vocab"].items():
        tokens[i], types[i] = token, NORMAL
    for added in description["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        # Older versions of the library write a merge as one text, newer ones as a pair.
        "tokenizer.ggml.merges": [m if isinstance(m, str) else " ".join(m) for m in model["merges"]],
    }


def _describes(rule: PreTokenizer, description: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json cuts and merges text as `rule` does."""
    example = Tokenizer(models.BPE(ignore_merges=rule.ignore_merges))
    example.pre_tokenizer = rule.build()
    if rule.nfc:
        example.normalizer = normalizers.NFC()
    expected = json.loads(example.to_str())
    same_steps = all(_essence(expected[key]) == _essence(description[key]) for key in ("pre_tokenizer", "normalizer"))
    return same_steps and bool(description["model"].get("ignore_merges", False)) == rule.ignore_merges


def _essence(step: Any) -> Any:
    """A step of tokenizer.json without the option that changes offsets only."""
    if isinstance(step, dict):
        return {key: _essence(value) for key, value in step.items() if key != "trim_offsets"}
    if isinstance(step, list):
        return [_essence(item) for item in step]
    return step


def _list_of(kind: type, metadata: Mapping[str, Any], name: str, source: str) -> list[Any]:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        found = "missing" if value is None else f"not a list of {kind.__name__}"
        raise CheckpointError(f"{source}: tokenizer.ggml.{name} is {found}; the file has no usable tokenizer")
    return value
