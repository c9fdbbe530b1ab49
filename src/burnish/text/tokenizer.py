"""Text to token ids and back, from a Hugging Face folder or from a GGUF file's metadata.

- The work is done by Hugging Face's `tokenizers` (Rust); this file only builds it, guards it and saves it.
- Text is untrusted by default: `encode` treats `<|im_end|>` in it as ten ordinary characters. Control tokens come
  only from a chat template, or from a caller that asks for them with `special=True`.
- GGUF names its pre-tokenizer instead of describing it, so the known ones are a table of data here.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from burnish.errors import CheckpointError, DataError
from burnish.files import atomic_write_text

# Unicode sets the code point aside for internal use, so a text has no reason to hold it. `guard` puts it into
# text that merely looks like a control token; the guarded backend drops it again after control tokens were found.
SENTINEL = "\ufdd0"

# `tokenizer.ggml.token_type`, from llama.cpp's `llama_token_type`.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4

_SPECIAL_NAMES = ("bos", "eos", "pad", "unk")


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

# Keyed by `tokenizer.ggml.pre`; the expressions are those of llama.cpp's `llama-vocab.cpp` and of the models' own
# tokenizer.json.
PRE_TOKENIZERS = {
    "gpt-2": PreTokenizer(),
    "smollm": PreTokenizer(single_digits=True),
    "llama-bpe": PreTokenizer(split=rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}", ignore_merges=True),
    "qwen2": PreTokenizer(split=rf"{_WORDS}|\p{{N}}|{_REST}", nfc=True),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer:
    """A tokenizer with the few facts about a model's text that generation and training need.

    `source` names the file in error messages. `stop_ids` end a generated turn: the end-of-sequence token and
    whatever else the checkpoint lists. `add_bos` says whether the consumers of an export (transformers, llama.cpp)
    put `bos_id` before a text; `encode` itself never does.
    """

    backend: Backend
    source: str
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    unk_id: int | None = None
    stop_ids: frozenset[int] = frozenset()
    chat_template: str | None = None
    context_length: int | None = None
    add_bos: bool = False

    def __post_init__(self) -> None:
        for name in _SPECIAL_NAMES:
            token = getattr(self, f"{name}_id")
            if token is not None and self.backend.id_to_token(token) is None:
                raise CheckpointError(
                    f"{self.source}: {name} token id {token} is outside the vocabulary of {self.vocab_size}; "
                    "the tokenizer's files do not belong together"
                )

    @classmethod
    def from_folder(cls, folder: Path | str) -> "Tokenizer":
        """Reads `tokenizer.json`, with `tokenizer_config.json` and the other optional files beside it.

        Raises `CheckpointError` naming the file that is missing, is not JSON or contradicts the others.
        """
        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(
                f"{file} is missing; save the tokenizer with a current transformers version, which writes that file"
            )
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the Rust library raises nothing more precise
            raise CheckpointError(f"{file} is not a tokenizer that `tokenizers` can read: {error}") from error
        config = {**_read_json(folder / "special_tokens_map.json"), **_read_json(folder / "tokenizer_config.json")}
        ids = {
            name: _named_id(backend, config.get(f"{name}_token"), f"{folder}/tokenizer_config.json", f"{name}_token")
            for name in _SPECIAL_NAMES
        }
        stops = _read_json(folder / "generation_config.json").get("eos_token_id")
        listed = stops if isinstance(stops, list) else [stops]
        bos, eos = ids["bos"], ids["eos"]
        return cls(
            backend=backend,
            source=str(file),
            bos_id=bos,
            eos_id=eos,
            pad_id=ids["pad"],
            unk_id=ids["unk"],
            stop_ids=frozenset(stop for stop in (eos, *listed) if isinstance(stop, int)),
            chat_template=_folder_template(folder, config),
            context_length=_folder_context_length(folder, config),
            add_bos=bos is not None and backend.encode("a").ids[:1] == [bos],
        )

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any], source: Path | str) -> "Tokenizer":
        """Builds a byte-level BPE tokenizer from GGUF `metadata` (`tokenizer.ggml.*`); `source` is the file's path.

        Raises `CheckpointError` naming the file and the key for a kind of tokenizer that is not supported, for
        missing or inconsistent lists, and for an unknown pre-tokenizer, with the known ones listed.
        """
        source = str(source)
        backend = _gguf_backend(metadata, source)

        def token_id(key: str) -> int | None:
            value = metadata.get(f"tokenizer.ggml.{key}")
            if value is not None and backend.id_to_token(value) is None:
                raise CheckpointError(f"{source}: tokenizer.ggml.{key} is {value}, outside the vocabulary")
            return value

        eos = token_id("eos_token_id")
        bos = token_id("bos_token_id")
        add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", False)) and bos is not None
        if add_bos:
            text = backend.id_to_token(bos)
            backend.post_processor = processors.TemplateProcessing(
                single=f"{text} $A", pair=f"{text} $A {text}:1 $B:1", special_tokens=[(text, bos)]
            )
        architecture = metadata.get("general.architecture")
        return cls(
            backend=backend,
            source=source,
            bos_id=bos,
            eos_id=eos,
            pad_id=token_id("padding_token_id"),
            unk_id=token_id("unknown_token_id"),
            stop_ids=frozenset(stop for stop in (eos, token_id("eot_token_id")) if stop is not None),
            chat_template=metadata.get("tokenizer.chat_template"),
            context_length=metadata.get(f"{architecture}.context_length"),
            add_bos=add_bos,
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`, without a begin-of-sequence token.

        `special=True` recognises the text of control tokens, such as `<|im_start|>`; otherwise they are
        encoded as the plain text they are, so that text from outside cannot inject them.
        """
        return list(_encode(self.backend if special else self._plain, text).ids)

    def encode_guarded(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text` with control tokens recognised except where `guard` broke them, and each token's start.

        The starts are character offsets into `text`.
        """
        encoding = _encode(self._guarded, text)
        return list(encoding.ids), [start for start, _ in encoding.offsets]

    def guard(self, text: str) -> str:
        """Breaks every occurrence of a control token's text with a sentinel that `encode_guarded` removes."""
        text = text.replace(SENTINEL, "")
        pattern = self._control_pattern
        return pattern.sub(rf"\g<0>{SENTINEL}", text) if pattern is not None else text

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of `ids`; control tokens are left out unless `skip_special` is False."""
        return str(self.backend.decode(list(ids), skip_special_tokens=skip_special))

    def save(self, folder: Path | str) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json`, which transformers' AutoTokenizer loads."""
        folder = Path(folder)
        config: dict[str, Any] = {
            # The class that takes tokenizer.json as it is; named ones such as GPT2Tokenizer rebuild parts of it.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": self.context_length or 10**30,
        }
        for name in _SPECIAL_NAMES:
            config[f"{name}_token"] = self.token(getattr(self, f"{name}_id"))
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        atomic_write_text(folder / "tokenizer.json", self.backend.to_str(pretty=True))
        atomic_write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def token(self, token_id: int | None) -> str | None:
        """The vocabulary's entry for an id, None for None."""
        return None if token_id is None else self.backend.id_to_token(token_id)

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest token id, so that an embedding of this many rows holds every token."""
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of the control tokens: those that no plain text encodes to."""
        return frozenset(i for i, added in self.backend.get_added_tokens_decoder().items() if added.special)

    @cached_property
    def _control_pattern(self) -> re.Pattern[str] | None:
        """Matches the first character of every place where a control token's text stands, also overlapping."""
        texts = {t.content for t in self.backend.get_added_tokens_decoder().values() if t.special}
        if not texts:
            return None
        return re.compile(f"(?=(?:{'|'.join(re.escape(text) for text in sorted(texts))}))(?s:.)")

    @cached_property
    def _plain(self) -> Backend:
        """The backend with control tokens turned off."""
        plain = Backend.from_str(self.backend.to_str())
        plain.encode_special_tokens = True
        unsafe = [
            text
            for text in (added.content for added in self.backend.get_added_tokens_decoder().values() if added.special)
            if set(plain.encode(text, add_special_tokens=False).ids) & (self.control_ids - {self.unk_id})
        ]
        if unsafe:
            raise CheckpointError(
                f"{self.source}: plain text can produce the control tokens {unsafe}, so text from outside could inject "
                "them; this tokenizer is not supported"
            )
        return plain

    @cached_property
    def _guarded(self) -> Backend:
        """The backend with a first normalization step that drops the sentinel.

        `tokenizers` looks for control tokens before it normalizes, so broken ones are not found, and mended
        only afterwards; the pieces between control tokens are then tokenized exactly as usual.
        """
        description = json.loads(self.backend.to_str())
        for added in description["added_tokens"]:
            if added["special"]:
                added["normalized"] = False
        drop = {"type": "Replace", "pattern": {"String": SENTINEL}, "content": ""}
        steps = [drop, description["normalizer"]] if description["normalizer"] else [drop]
        description["normalizer"] = {"type": "Sequence", "normalizers": steps}
        return Backend.from_str(json.dumps(description))


def _encode(backend: Backend, text: str) -> Any:
    try:
        return backend.encode(text, add_special_tokens=False)
    except UnicodeEncodeError as error:
        raise DataError(f"text is not valid Unicode: {error}") from error


def _gguf_backend(metadata: Mapping[str, Any], source: str) -> Backend:
    kind = metadata.get("tokenizer.ggml.model")
    if kind != "gpt2":
        raise CheckpointError(
            f"{source}: tokenizer.ggml.model is {kind!r}; only 'gpt2' (byte-level BPE) is supported. "
            "Load the model's Hugging Face folder instead"
        )
    pre = metadata.get("tokenizer.ggml.pre")
    if pre not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise CheckpointError(
            f"{source}: tokenizer.ggml.pre is {pre!r}; the known ones are {known}. "
            "Load the model's Hugging Face folder instead"
        )
    rule = PRE_TOKENIZERS[pre]
    tokens = _gguf_list(metadata, "tokens", str, source)
    merges = _gguf_list(metadata, "merges", str, source)
    types = _gguf_list(metadata, "token_type", int, source)
    if len(types) != len(tokens):
        raise CheckpointError(
            f"{source}: tokenizer.ggml.token_type has {len(types)} entries for {len(tokens)} tokens"
        )
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if vocabulary[token] != i)
        raise CheckpointError(f"{source}: tokenizer.ggml.tokens holds {twice!r} twice")
    pairs = [tuple(merge.split(" ")) for merge in merges]
    if odd := next((merge for merge, pair in zip(merges, pairs, strict=True) if len(pair) != 2), None):
        raise CheckpointError(f"{source}: tokenizer.ggml.merges holds {odd!r}, which is not a pair of tokens")
    try:
        backend = Backend(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=rule.ignore_merges))
    except Exception as error:  # the Rust library raises nothing more precise
        raise CheckpointError(f"{source}: tokenizer.ggml.merges do not fit the tokens: {error}") from error
    if rule.nfc:
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = rule.build()
    backend.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, types, strict=True) if kind in (CONTROL, UNKNOWN)]
    added = [t for t, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED]
    backend.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in control])
    backend.add_tokens([AddedToken(t, normalized=False, special=False) for t in added])
    return backend


def _gguf_list(metadata: Mapping[str, Any], name: str, kind: type, source: str) -> list[Any]:
    value = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
        found = "missing" if value is None else f"not a list of {kind.__name__}"
        raise CheckpointError(f"{source}: tokenizer.ggml.{name} is {found}; the file has no usable tokenizer")
    return value


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} when there is no such file."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _named_id(backend: Backend, token: object, file: str, key: str) -> int | None:
    """The id of a token that a configuration names, as text or as an object with `content`."""
    if isinstance(token, dict):
        token = token.get("content")
    if token is None:
        return None
    found = backend.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        raise CheckpointError(f"{file}: {key} is {token!r}, which is not in the vocabulary of tokenizer.json")
    return int(found)


def _folder_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The chat template: its own file where there is one, else the key of tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{file} is not readable text: {error}") from error
    template = config.get("chat_template")
    if isinstance(template, list):  # several templates, each with a name
        template = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}.get("default")
    if template is not None and not isinstance(template, str):
        raise CheckpointError(f"{folder}/tokenizer_config.json: chat_template must be text, found {template!r}")
    return template


def _folder_context_length(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The longest text in tokens; tokenizers without a limit write an absurdly large number."""
    for value in (config.get("model_max_length"), _read_json(folder / "config.json").get("max_position_embeddings")):
        if isinstance(value, int | float) and 0 < value < 10**9:
            return int(value)
    return None
