"""The files of a Hugging Face folder that say what a tokenizer is: each read as transformers reads it.

| file | what is taken from it |
| --- | --- |
| `tokenizer.json` | the tokenizer |
| `tokenizer_config.json` | tokens with a name, tokens that `tokenizer.json` lacks, chat templates, the longest text |
| `special_tokens_map.json` | tokens with a name, where the file above names none |
| `generation_config.json` | tokens that end a text |
| `chat_template.jinja`, `additional_chat_templates/*.jinja` | chat templates, before those of `tokenizer_config.json` |
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from burnish.errors import CheckpointError, panics_told
from burnish.files import open_regular
from burnish.text.tokenizer_settings import check_listed, check_read_as_is

CONFIG_FILE = "tokenizer_config.json"
DEFAULT = "default"
SPECIAL_NAMES = ("bos", "eos", "pad", "unk")

# In transformers' order, which is that of the ids of those that it adds.
_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# What ends or begins a text must be a token that the model knows.
_WITH_ROW = ("bos_token", "eos_token")
_EXTRA = ("extra_special_tokens", "additional_special_tokens")
_FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")


def read_backend(folder: Path, config: Mapping[str, Any]) -> Backend:
    """The tokenizer of `tokenizer.json`, with the tokens that only `tokenizer_config.json` knows.

    Those of `added_tokens_decoder` have their ids there, and its flags count; a further token that has a name, other
    than those that begin or end a text, gets the next free id, as in transformers, although the model has no row for
    it. Raises `CheckpointError` naming the file and
    what is wrong with it.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise CheckpointError(
            f"{file} is missing; save the tokenizer with a current version of transformers, which writes it"
        )
    try:
        with (
            open_regular(file) as opened,
            panics_told(CheckpointError, f"{file} is not a tokenizer that can be read"),
        ):
            backend = Backend.from_buffer(opened.read())
    except CheckpointError:
        raise
    except Exception as error:  # the Rust library raises nothing more precise
        raise CheckpointError(f"{file} is not a tokenizer that can be read: {error}") from error
    # What the last user of the file asked for, such as a batch of texts of 512 tokens, is no part of the tokenizer;
    # transformers sets both anew with every text.
    backend.no_truncation()
    backend.no_padding()
    if getattr(backend.model, "dropout", None):
        raise CheckpointError(
            f"{file}: model.dropout is {backend.model.dropout:g}, so that a text would be other tokens each time; "
            "set it to null"
        )
    check_read_as_is(folder / CONFIG_FILE, config, backend)
    _add_tokens(backend, folder / CONFIG_FILE, config)
    return backend


def read_config(folder: Path) -> dict[str, Any]:
    """What `tokenizer_config.json` says, and `special_tokens_map.json` where that says nothing."""
    config = read_json(folder / CONFIG_FILE)
    names = read_json(folder / "special_tokens_map.json")
    if "added_tokens_decoder" in config:  # then transformers reads no other file for tokens that are added
        names = {key: value for key, value in names.items() if key.removesuffix("_token") in SPECIAL_NAMES}
    return {**names, **config}


def token_text(token: object) -> object:
    """The text of a token that a configuration names, as text or as an object with `content`."""
    return token.get("content") if isinstance(token, Mapping) else token


def named_id(backend: Backend, config: Mapping[str, Any], key: str, file: Path) -> int | None:
    """The id of a token that a configuration names."""
    text = token_text(config.get(key))
    if text is None:
        return None
    found = backend.token_to_id(text) if isinstance(text, str) and text else None
    if found is None:
        raise CheckpointError(f"{file}: {key} is {text!r}, which is not in the vocabulary of tokenizer.json")
    return int(found)


def read_templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates by name, `default` the usual one: from files of their own where there are any.

    As in transformers, none of the configuration's then counts; only where no file has the usual one, it is taken.
    """
    file, additional = folder / "chat_template.jinja", folder / "additional_chat_templates"
    configured = _templates_of(config.get("chat_template"), folder / CONFIG_FILE)
    found = {path.stem: _read_text(path) for path in sorted(additional.glob("*.jinja"))} if additional.is_dir() else {}
    if file.is_file():
        found[DEFAULT] = _read_text(file)
    if not found:
        return configured
    return {name: text for name, text in configured.items() if name == DEFAULT} | found


def read_context_length(folder: Path, config: Mapping[str, Any]) -> int | None:
    """The longest text in tokens; tokenizers without a limit write an absurdly large number."""
    positions = read_json(folder / "config.json").get("max_position_embeddings")
    for value in (config.get("model_max_length"), positions):
        if isinstance(value, int | float) and 0 < value < 10**9:
            return int(value)
    return None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} when there is no such file."""
    if not path.exists():
        return {}
    try:
        with open_regular(path) as file:
            value = json.loads(file.read())
        # Half a surrogate pair, which JSON can escape, is no text that a vocabulary or a template could hold.
        json.dumps(value, ensure_ascii=False).encode()
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object, found {type(value).__name__}")
    return value


def _add_tokens(backend: Backend, file: Path, config: Mapping[str, Any]) -> None:
    """Add the tokens of `tokenizer_config.json`, as transformers does: the listed ones, then those with a name."""
    named = list(_named_tokens(file, config))
    names = {token.content for _, token in named}
    check_listed(file, config, backend, names)
    for token_id, token in _listed_tokens(file, config):
        missing = backend.token_to_id(token.content) is None
        token.special = token.special or token.content in names
        backend.add_tokens([token])
        if missing and (found := backend.token_to_id(token.content)) != token_id:
            raise CheckpointError(
                f"{file}: added_tokens_decoder gives {token.content!r} the id {token_id}, but the "
                f"next free one of tokenizer.json is {found}; the two files do not belong together"
            )
    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    for key, token in named:
        if token.content not in added and (key not in _WITH_ROW or backend.token_to_id(token.content) is not None):
            backend.add_tokens([token])


def _named_tokens(file: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, AddedToken]]:
    """The special tokens that a configuration names, under their keys and in transformers' order."""
    extra: Any = next((config[key] for key in _EXTRA if config.get(key)), [])
    others = {key: value for key, value in config.items() if key.endswith("_token") and key not in _NAMED}
    values = [(key, config.get(key)) for key in _NAMED] + list(others.items())
    if isinstance(extra, Mapping):
        values += [(f"extra_special_tokens.{key}", value) for key, value in extra.items()]
    elif isinstance(extra, list):
        values += [(f"extra_special_tokens[{place}]", value) for place, value in enumerate(extra)]
    else:
        raise CheckpointError(f"{file}: extra_special_tokens is {str(extra)[:80]!r}; expected a list of tokens")
    for key, value in values:
        text = token_text(value)
        if isinstance(text, str) and text:
            flags = value if isinstance(value, Mapping) else {}
            try:
                token = _token({"normalized": False, **flags, "content": text, "special": True})
            except (TypeError, ValueError) as error:
                raise CheckpointError(f"{file}: {key} has a flag that is neither true nor false: {error}") from error
            yield key, token


def _token(token: Mapping[str, Any]) -> AddedToken:
    return AddedToken(token["content"], **{flag: token[flag] for flag in _FLAGS if flag in token})


def _listed_tokens(file: Path, config: Mapping[str, Any]) -> Iterator[tuple[int, AddedToken]]:
    """The tokens of `added_tokens_decoder`, in the order of their ids."""
    listed = config.get("added_tokens_decoder") or {}
    try:
        tokens = sorted((int(token_id), token) for token_id, token in listed.items())
        for token_id, token in tokens:
            yield token_id, _token(token)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{file}: added_tokens_decoder must map ids to tokens with a `content`: {error!r}"
        ) from error


def _templates_of(value: object, file: Path) -> dict[str, str]:
    """The templates under `chat_template`: one, or a list of them with their names."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {DEFAULT: value}
    items: list[Any] = value if isinstance(value, list) else [value]
    for item in items:
        if not (isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("template"), str)):
            raise CheckpointError(
                f"{file}: chat_template must be text, or a list of objects with `name` and `template`; "
                f"found {str(item)[:80]}"
            )
    return {item["name"]: item["template"] for item in items}


def _read_text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not readable text: {error}") from error
    return "\n".join(text.replace("\r\n", "\n").split("\r"))  # as Python reads text
