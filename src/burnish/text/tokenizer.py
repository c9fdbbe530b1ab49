"""Text to token ids and back, from a Hugging Face folder or from a GGUF file's metadata.

- The work is done by Hugging Face's `tokenizers` (Rust); this file only loads it, guards it and saves it.
- Text is untrusted by default: `encode` takes `<|im_end|>` in it for the ten characters that it is. Control tokens
  come only from a chat template, or from a caller that asks for them with `special=True`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from tokenizers import Tokenizer as Backend
from tokenizers import processors

from burnish.errors import CheckpointError, DataError
from burnish.files import atomic_write_text
from burnish.text.gguf_vocabulary import read_vocabulary, write_vocabulary

# Unicode sets the code point aside for internal use, so a text has no reason to hold it. `guard` puts it into
# text that merely looks like a control token; the guarded backend drops it once control tokens were looked for.
SENTINEL = "\ufdd0"

_SPECIAL_NAMES = ("bos", "eos", "pad", "unk")

_GGUF_NAMES = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "pad": "padding_token_id",
    "unk": "unknown_token_id",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokenizer:
    """A tokenizer with the few facts about a model's text that generation and training need.

    `source` names the file in error messages. `stop_ids` end a generated turn: the end-of-sequence token and
    whatever else the checkpoint lists. `add_bos` says whether those who load an export (transformers, llama.cpp)
    put `bos_id` before a text; `encode` itself never does.
    """

    backend: Backend = field(repr=False)
    source: str
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int | None = None
    unk_id: int | None = None
    stop_ids: frozenset[int] = frozenset()
    chat_template: str | None = field(default=None, repr=False)
    context_length: int | None = None
    add_bos: bool = False

    @classmethod
    def from_folder(cls, folder: Path | str) -> "Tokenizer":
        """Reads `tokenizer.json`, with `tokenizer_config.json` and the other optional files beside it.

        Raises `CheckpointError` naming the file that is missing, is not JSON or contradicts the others.
        """
        folder = Path(folder)
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise CheckpointError(
                f"{file} is missing; save the tokenizer with a current version of transformers, which writes it"
            )
        try:
            backend = Backend.from_file(str(file))
        except Exception as error:  # the Rust library raises nothing more precise
            raise CheckpointError(f"{file} is not a tokenizer that can be read: {error}") from error
        config_file = folder / "tokenizer_config.json"
        config = {**_read_json(folder / "special_tokens_map.json"), **_read_json(config_file)}
        ids = {name: _named_id(backend, config, f"{name}_token", config_file) for name in _SPECIAL_NAMES}
        return cls(
            backend=backend,
            source=str(file),
            bos_id=ids["bos"],
            eos_id=ids["eos"],
            pad_id=ids["pad"],
            unk_id=ids["unk"],
            stop_ids=_folder_stop_ids(folder, ids["eos"], backend),
            chat_template=_folder_template(folder, config),
            context_length=_folder_context_length(folder, config),
            add_bos=ids["bos"] is not None and backend.encode("a").ids[:1] == [ids["bos"]],
        )

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any], source: Path | str) -> "Tokenizer":
        """Builds the tokenizer that a GGUF file's metadata describe; `source` is the file's path.

        Raises `CheckpointError` naming the file and the key for a tokenizer that is not supported or is damaged.
        """
        source = str(source)
        backend = read_vocabulary(metadata, source)
        ids = {name: _gguf_id(backend, metadata, key, source) for name, key in _GGUF_NAMES.items()}
        stops = (ids["eos"], _gguf_id(backend, metadata, "eot_token_id", source))
        add_bos = False
        if (bos_id := ids["bos"]) is not None and metadata.get("tokenizer.ggml.add_bos_token", False):
            add_bos = True
            bos = backend.id_to_token(bos_id)
            backend.post_processor = processors.TemplateProcessing(
                single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, bos_id)]
            )
        return cls(
            backend=backend,
            source=source,
            bos_id=ids["bos"],
            eos_id=ids["eos"],
            pad_id=ids["pad"],
            unk_id=ids["unk"],
            stop_ids=frozenset(stop for stop in stops if stop is not None),
            chat_template=_gguf_value(str, metadata, "tokenizer.chat_template", source),
            context_length=_gguf_value(int, metadata, f"{metadata.get('general.architecture')}.context_length", source),
            add_bos=add_bos,
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`, without a begin-of-sequence token.

        `special=True` recognises the text of control tokens, such as `<|im_start|>`; otherwise they are
        encoded as the plain text they are, so that text from outside cannot inject them.
        """
        return list(_encode(self.backend if special else self._plain, text).ids)

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of `ids`; control tokens are left out unless `skip_special` is False."""
        return str(self.backend.decode(list(ids), skip_special_tokens=skip_special))

    def token(self, token_id: int | None) -> str | None:
        """The vocabulary's entry for an id, None for None."""
        return None if token_id is None else self.backend.id_to_token(token_id)

    def guard(self, text: str) -> str:
        """`text` with every control token's text in it broken by a sentinel that `encode_guarded` removes."""
        text = text.replace(SENTINEL, "")
        if self._control_pattern is None:
            return text
        return self._control_pattern.sub(rf"\g<0>{SENTINEL}", text)

    def encode_guarded(self, text: str) -> tuple[list[int], list[int]]:
        """Ids of `text`, where `guard`ed parts give no control tokens, and the character each id starts at."""
        encoding = _encode(self._guarded, text)
        return list(encoding.ids), [start for start, _ in encoding.offsets]

    def save(self, folder: Path | str) -> None:
        """Writes `tokenizer.json` and `tokenizer_config.json`, which transformers' AutoTokenizer loads."""
        folder = Path(folder)
        config: dict[str, Any] = {
            # The class that takes tokenizer.json as it is; others, such as GPT2Tokenizer, rebuild parts of it.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": self.context_length or 10**30,
        }
        config |= {f"{name}_token": self.token(getattr(self, f"{name}_id")) for name in _SPECIAL_NAMES}
        if self.chat_template is not None:
            config["chat_template"] = self.chat_template
        atomic_write_text(folder / "tokenizer.json", self.backend.to_str(pretty=True))
        atomic_write_text(folder / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def to_gguf(self, n_tokens: int) -> dict[str, Any]:
        """GGUF metadata that `from_gguf` and llama.cpp read; `n_tokens` is the embedding's number of rows."""
        metadata = write_vocabulary(self.backend, n_tokens, self.source)
        for name, key in _GGUF_NAMES.items():
            if (token_id := getattr(self, f"{name}_id")) is not None:
                metadata[f"tokenizer.ggml.{key}"] = token_id
        if turn_ends := sorted(self.stop_ids - {self.eos_id}):
            metadata["tokenizer.ggml.eot_token_id"] = turn_ends[0]
        metadata["tokenizer.ggml.add_bos_token"] = self.add_bos
        metadata["tokenizer.ggml.add_space_prefix"] = False
        if self.chat_template is not None:
            metadata["tokenizer.chat_template"] = self.chat_template
        return metadata

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest token id, so that an embedding of this many rows holds every token."""
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """Ids of the control tokens: those that no plain text encodes to."""
        return frozenset(i for i, added in self.backend.get_added_tokens_decoder().items() if added.special)

    @cached_property
    def _control_texts(self) -> list[str]:
        added = self.backend.get_added_tokens_decoder().values()
        return sorted(token.content for token in added if token.special)

    @cached_property
    def _control_pattern(self) -> re.Pattern[str] | None:
        """Matches the first character of every place where a control token's text stands, overlapping or not."""
        if not self._control_texts:
            return None
        return re.compile(f"(?=(?:{'|'.join(map(re.escape, self._control_texts))}))(?s:.)")

    @cached_property
    def _plain(self) -> Backend:
        """The backend with control tokens turned off."""
        plain = Backend.from_str(self.backend.to_str())
        plain.encode_special_tokens = True
        forbidden = self.control_ids - {self.unk_id}
        for text in self._control_texts:
            if not forbidden.isdisjoint(plain.encode(text, add_special_tokens=False).ids):
                raise CheckpointError(
                    f"{self.source}: the plain text {text!r} encodes to a control token, so text from outside could "
                    "inject it; this tokenizer is not supported"
                )
        return plain

    @cached_property
    def _guarded(self) -> Backend:
        """The backend with a first normalization step that drops the sentinel.

        `tokenizers` looks for control tokens before it normalizes, so broken ones are not found and are whole again
        only afterwards; the pieces between control tokens are then tokenized as they always are.
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
    except TypeError as error:  # what the Rust library says to half a surrogate pair
        raise DataError(f"text is not valid Unicode: {text[:80]!r}") from error


_Value = TypeVar("_Value", str, int)


def _gguf_value(kind: type[_Value], metadata: Mapping[str, Any], key: str, source: str) -> _Value | None:
    value = metadata.get(key)
    if value is not None and not isinstance(value, kind):
        raise CheckpointError(f"{source}: {key} must be {'text' if kind is str else 'a number'}, found {value!r}")
    return value


def _gguf_id(backend: Backend, metadata: Mapping[str, Any], key: str, source: str) -> int | None:
    value = metadata.get(f"tokenizer.ggml.{key}")
    if value is None:
        return None
    if not _is_token(backend, value):
        raise CheckpointError(f"{source}: tokenizer.ggml.{key} is {value!r}, which is not in the vocabulary")
    return value


def _is_token(backend: Backend, value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**32 and backend.id_to_token(value) is not None


def _named_id(backend: Backend, config: Mapping[str, Any], key: str, file: Path) -> int | None:
    """The id of a token that a configuration names, as text or as an object with `content`."""
    token = config.get(key)
    if isinstance(token, dict):
        token = token.get("content")
    if token is None:
        return None
    found = backend.token_to_id(token) if isinstance(token, str) else None
    if found is None:
        raise CheckpointError(f"{file}: {key} is {token!r}, which is not in the vocabulary of tokenizer.json")
    return int(found)


def _folder_stop_ids(folder: Path, eos: int | None, backend: Backend) -> frozenset[int]:
    """The end-of-sequence token and those that generation_config.json lists."""
    file = folder / "generation_config.json"
    listed = _read_json(file).get("eos_token_id")
    stops = [stop for stop in (eos, *(listed if isinstance(listed, list) else [listed])) if stop is not None]
    for stop in stops:
        if not _is_token(backend, stop):
            raise CheckpointError(f"{file}: eos_token_id {stop!r} is not in the vocabulary of tokenizer.json")
    return frozenset(stops)


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
        named = {item.get("name"): item.get("template") for item in template if isinstance(item, dict)}
        template = named.get("default")
    if template is not None and not isinstance(template, str):
        raise CheckpointError(f"{folder / 'tokenizer_config.json'}: chat_template must be text, found {template!r}")
    return template


def _folder_context_length(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The longest text in tokens; tokenizers without a limit write an absurdly large number."""
    positions = _read_json(folder / "config.json").get("max_position_embeddings")
    for value in (config.get("model_max_length"), positions):
        if isinstance(value, int | float) and 0 < value < 10**9:
            return int(value)
    return None


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
