"""The vocabulary that a GGUF file's metadata hold, to a `tokenizers` backend and back.

Two kinds exist among the model families here (`tokenizer.ggml.model`):
- "gpt2" is byte-level BPE. GGUF names a pre-tokenizer (`tokenizer.ggml.pre`) where Hugging Face's tokenizer.json
  describes it, so the known ones are a table of data here;
- "llama" is SentencePiece's BPE, which has scores in place of merges: see `burnish.text.gguf_sentencepiece`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from burnish.errors import CheckpointError
from burnish.text.gguf_sentencepiece import SPACE, build_sentencepiece, is_byte, prefixes_space, scores_of

# `tokenizer.ggml.token_type`, from llama.cpp's `llama_token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


@dataclass(frozen=True, kw_only=True)
class PreTokenizer:
    """How text is cut into pieces before byte-pair merges; `split` None means GPT-2's own expression.

    `before` and `after` are further steps. `add_bos` is whether llama.cpp puts a begin-of-sequence token before a text
    where the file does not say.
    """

    split: str | None = None
    before: tuple[pre_tokenizers.PreTokenizer, ...] = ()
    after: tuple[pre_tokenizers.PreTokenizer, ...] = ()
    nfc: bool = False
    ignore_merges: bool = False
    add_bos: bool = False

    def build(self) -> pre_tokenizers.PreTokenizer:
        steps = list(self.before)
        if self.split is not None:
            steps.append(_isolated(self.split))
        steps += [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=self.split is None), *self.after]
        return pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]


def _isolated(expression: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(expression), behavior="isolated")


_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE_WORD = r"[^\r\n\p{L}\p{N}]?"

# Keyed by `tokenizer.ggml.pre`. The expressions are those of llama.cpp's `llama-vocab.cpp`, which agree with the
# tokenizer.json of the models they are named after.
PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer(),
    "smollm": PreTokenizer(before=(pre_tokenizers.Digits(individual_digits=True),)),
    "llama-bpe": PreTokenizer(split=_LLAMA3, ignore_merges=True, add_bos=True),
    "qwen2": PreTokenizer(split=rf"{_WORDS}|\p{{N}}|{_REST}", nfc=True),
    "olmo": PreTokenizer(nfc=True),  # GPT-NeoX's
    "dbrx": PreTokenizer(split=_LLAMA3),  # OLMo 2's
    "falcon": PreTokenizer(
        before=(pre_tokenizers.Punctuation(behavior="contiguous"),),
        after=(pre_tokenizers.Digits(individual_digits=False), _isolated("[0-9][0-9][0-9]")),
    ),
    "tekken": PreTokenizer(  # Mistral NeMo's
        split=rf"{_BEFORE_WORD}{_UPPER}*{_LOWER}+|{_BEFORE_WORD}{_UPPER}+{_LOWER}*|\p{{N}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ignore_merges=True,
        add_bos=True,
    ),
}

# Further names under which llama.cpp does the same.
_ALIASES = {
    **dict.fromkeys(("trillion", "gigachat"), "gpt-2"),
    **dict.fromkeys(("starcoder", "refact", "minerva-7b"), "smollm"),
    **dict.fromkeys(("llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0"), "llama-bpe"),
    **dict.fromkeys(("deepseek-r1-qwen", "megrez"), "qwen2"),
    "mpt": "olmo",
    "smaug-bpe": "dbrx",
}

_KINDS = {"gpt2": "byte-level BPE", "llama": "SentencePiece's BPE"}

# What llama.cpp's converter gives tokens that merges never make.
_SCORES = {USER_DEFINED: -1000.0, UNUSED: -1000.0}

# No key of llama.cpp's says that added tokens take the spaces behind them along, as Phi-3's do. llama.cpp goes by the
# model's name; a name means nothing here, so the architecture tells, and a key of Burnish's own where it does not.
_NOT_SWALLOWING = ("<unk>", "<s>", "<|endoftext|>")
_SWALLOWS_KEY = "tokenizer.burnish.added_tokens_swallow_spaces"
_SWALLOWING_NAME = re.compile("phi-?3", re.IGNORECASE)


def read_vocabulary(metadata: Mapping[str, Any], source: str) -> Tokenizer:
    """The tokenizer that `tokenizer.ggml.*` describe; `source` names the file in errors.

    Control tokens become special added tokens, user-defined ones added tokens. Raises `CheckpointError` naming
    the key for another kind of tokenizer, missing or inconsistent lists, and an unknown pre-tokenizer.
    """
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in _KINDS:
        known = " and ".join(f"{name!r} ({title})" for name, title in _KINDS.items())
        raise CheckpointError(
            f"{source}: tokenizer.ggml.model is {kind!r}; only {known} are supported. "
            "Load the model's Hugging Face folder instead"
        )
    if kind == "gpt2" and _rule_name(metadata) not in PRE_TOKENIZERS:
        raise CheckpointError(
            f"{source}: tokenizer.ggml.pre is {metadata.get('tokenizer.ggml.pre')!r}; the known ones are "
            f"{', '.join((*PRE_TOKENIZERS, *_ALIASES))}. Load the model's Hugging Face folder instead"
        )
    tokens = _list_of(str, metadata, "tokens", source)
    types = _list_of(int, metadata, "token_type", source)
    if len(types) != len(tokens):
        raise CheckpointError(f"{source}: tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens")
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if ids[token] != i)
        raise CheckpointError(f"{source}: tokenizer.ggml.tokens holds {twice!r} twice")
    tokenizer = (
        _build_byte_level(metadata, ids, source)
        if kind == "gpt2"
        else _build_sentencepiece(metadata, ids, types, source)
    )
    for special, kinds in ((True, (CONTROL, UNKNOWN)), (False, (USER_DEFINED,))):
        added = [
            AddedToken(token, normalized=False, special=special, rstrip=_swallows_spaces(metadata, token))
            for token, kind in zip(tokens, types, strict=True)
            if kind in kinds
        ]
        (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
    return tokenizer


def adds_bos(metadata: Mapping[str, Any]) -> bool:
    """Whether llama.cpp puts a begin-of-sequence token before a text: what the file says, or its kind's habit."""
    rule = PRE_TOKENIZERS.get(_rule_name(metadata))
    habit = metadata.get("tokenizer.ggml.model") == "llama" or (rule is not None and rule.add_bos)
    return bool(metadata.get("tokenizer.ggml.add_bos_token", habit))


def write_vocabulary(tokenizer: Tokenizer, n_tokens: int, source: str) -> dict[str, Any]:
    """`tokenizer.ggml.*` metadata of a BPE tokenizer, padded with unused tokens to `n_tokens`.

    llama.cpp needs exactly one token for each row of the embedding. Raises `CheckpointError` when GGUF cannot
    express the tokenizer.
    """
    description = json.loads(tokenizer.to_str())
    model, added = description["model"], description["added_tokens"]
    rule = next((name for name, rule in PRE_TOKENIZERS.items() if _describes(rule, description)), None)
    prefix = prefixes_space(description) if model.get("byte_fallback") else None
    if model["type"] != "BPE" or (rule is None and prefix is None):
        raise CheckpointError(
            f"{source}: GGUF files can be written for byte-level BPE with the pre-tokenizers of "
            f"{', '.join(PRE_TOKENIZERS)}, and for SentencePiece's BPE; this tokenizer cuts text in another way"
        )
    # Older versions of the library write a merge as one text, newer ones as a pair.
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    tokens = [f"[PAD{i}]" for i in range(n_tokens)]
    types = [UNUSED] * n_tokens
    for token, i in model["vocab"].items():
        tokens[i], types[i] = token, BYTE if prefix is not None and is_byte(token) else NORMAL
    for token in added:
        if token["id"] >= n_tokens:  # a control token that the model has no row for
            continue
        # llama.cpp looks for user-defined tokens in the text itself, where spaces are still spaces.
        plain = token["special"] or prefix is None
        tokens[token["id"]] = token["content"] if plain else token["content"].replace(SPACE, " ")
        types[token["id"]] = CONTROL if token["special"] else USER_DEFINED
    if prefix is None:
        return {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": rule,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": types,
            "tokenizer.ggml.merges": [" ".join(merge) for merge in merges],
            "tokenizer.ggml.add_space_prefix": False,
        }
    if (unknown := model["vocab"].get(model["unk_token"])) is not None:
        types[unknown] = UNKNOWN
    scores = scores_of(
        model["vocab"], [(left, right) for left, right in merges], {token["content"] for token in added}, source
    )
    by_id = {model["vocab"][token]: score for token, score in scores.items()}
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.scores": [by_id.get(i, _SCORES.get(kind, 0.0)) for i, kind in enumerate(types)],
        "tokenizer.ggml.add_space_prefix": prefix,
    }


def model_name(name: str, tokenizer: Tokenizer) -> str:
    """`name` as llama.cpp may have it: it takes one with "phi3" or "phi-3" in it for a promise about the tokenizer.

    The added tokens then take the spaces behind them along, and a vocabulary without Phi-3's tokens cannot be loaded.
    """
    like_phi3 = all(tokenizer.token_to_id(token) is not None for token in (*_NOT_SWALLOWING, "</s>"))
    if not _swallows(tokenizer) or not like_phi3:
        return _SWALLOWING_NAME.sub(lambda found: f"{found[0][:3]}_3", name)
    return name if _SWALLOWING_NAME.search(name) else f"{name} (phi-3)"


def spaces_key(tokenizer: Tokenizer, architecture: str) -> dict[str, bool]:
    """Metadata that says whether added tokens take the spaces behind them along, where the architecture does not."""
    model = json.loads(tokenizer.to_str())["model"]
    usual = architecture == "phi3" and bool(model.get("byte_fallback"))
    return {} if _swallows(tokenizer) == usual else {_SWALLOWS_KEY: not usual}


def _swallows(tokenizer: Tokenizer) -> bool:
    return any(token.rstrip for token in tokenizer.get_added_tokens_decoder().values())


def _build_byte_level(metadata: Mapping[str, Any], ids: Mapping[str, int], source: str) -> Tokenizer:
    rule = PRE_TOKENIZERS[_rule_name(metadata)]
    merges = [tuple(merge.split(" ")) for merge in _list_of(str, metadata, "merges", source)]
    if odd := next((merge for merge in merges if len(merge) != 2), None):
        raise CheckpointError(f"{source}: tokenizer.ggml.merges holds {' '.join(odd)!r}, which is not a pair")
    try:
        tokenizer = Tokenizer(models.BPE(vocab=dict(ids), merges=merges, ignore_merges=rule.ignore_merges))
    except Exception as error:  # the Rust library raises nothing more precise
        raise CheckpointError(f"{source}: tokenizer.ggml.merges do not fit the tokens: {error}") from error
    if rule.nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = rule.build()
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _build_sentencepiece(
    metadata: Mapping[str, Any], ids: Mapping[str, int], types: list[int], source: str
) -> Tokenizer:
    scores = metadata.get("tokenizer.ggml.scores")
    if not isinstance(scores, list) or len(scores) != len(ids) or not all(type(s) in (int, float) for s in scores):
        raise CheckpointError(
            f"{source}: tokenizer.ggml.model is 'llama', which needs tokenizer.ggml.scores, a number for each of "
            f"{len(ids)} tokens; the file has no usable tokenizer"
        )
    mergeable = {token for token, i in ids.items() if types[i] not in (UNKNOWN, CONTROL, BYTE)}
    return build_sentencepiece(
        ids,
        {token: float(scores[ids[token]]) for token in mergeable},
        unknown=next((token for token, i in ids.items() if types[i] == UNKNOWN), None),
        prefix=bool(metadata.get("tokenizer.ggml.add_space_prefix", True)),
    )


def _rule_name(metadata: Mapping[str, Any]) -> str:
    """The key of `PRE_TOKENIZERS` that the file's pre-tokenizer is known by here."""
    pre = str(metadata.get("tokenizer.ggml.pre"))
    return _ALIASES.get(pre, pre)


def _swallows_spaces(metadata: Mapping[str, Any], token: str) -> bool:
    """Whether an added token takes the spaces behind it along."""
    usual = metadata.get("general.architecture") == "phi3" and metadata.get("tokenizer.ggml.model") == "llama"
    return bool(metadata.get(_SWALLOWS_KEY, usual)) and token not in _NOT_SWALLOWING


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
