"""Settings of `tokenizer_config.json` by which transformers' tokens differ from those of `tokenizer.json`.

Source: transformers 5, tokenization_utils_tokenizers.py and tokenization_gpt2.py, _llama.py, _bert.py: a class of
its own rebuilds the normalizer and the pre-tokenizer from the configuration. `tokenizer.json` is what counts here, so
a configuration that says something else is refused.
"""

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NoReturn

from tokenizers import Tokenizer as Backend
from tokenizers import models

from burnish.errors import CheckpointError
from burnish.text.gguf_sentencepiece import flat_steps

_AS_IT_IS = "PreTrainedTokenizerFast"
# Classes that take tokenizer.json as it is.
_GENERIC = (_AS_IT_IS, "TokenizersBackend")
_BERT = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""Settings of `BertTokenizer` and the names that tokenizer.json has for them."""


def check_read_as_is(file: Path, config: Mapping[str, Any], backend: Backend) -> None:
    """Raise `CheckpointError` naming the key for a setting under which transformers would make other tokens.

    What repeats tokenizer.json passes, and so does what the tokenizer's class does not read.
    """
    if config.get("split_special_tokens"):
        raise CheckpointError(
            f"{file}: split_special_tokens is true, so that control tokens would be plain text and no conversation "
            "could be held; remove it"
        )
    kind = config.get("tokenizer_class")
    if kind in _GENERIC:
        return
    name = str(kind or "").removesuffix("Fast")
    steps = Backend(models.BPE())
    steps.normalizer, steps.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    described = json.loads(steps.to_str())
    normalizers, cuts = (list(flat_steps(described[part])) for part in ("normalizer", "pre_tokenizer"))
    prefix = config.get("add_prefix_space")
    if isinstance(prefix, bool):
        for puts in _puts_space(name, normalizers, cuts):
            if puts != prefix:
                _refuse(file, "add_prefix_space", prefix, f"puts {'a' if puts else 'no'} space before a text", kind)
    if name == "BertTokenizer":
        for key, part in _BERT.items():
            for step in normalizers:
                if step["type"] == "BertNormalizer" and key in config and config[key] != step[part]:
                    _refuse(file, key, config[key], f"has {json.dumps(step[part])} for it", kind)


def check_listed(file: Path, config: Mapping[str, Any], backend: Backend, names: Set[str]) -> None:
    """Raise `CheckpointError` where `added_tokens_decoder` lacks an added token of tokenizer.json.

    A class of its own adds only the listed tokens, and those of `names`.
    """
    kind, listed = config.get("tokenizer_class"), config.get("added_tokens_decoder")
    if kind in (None, *_GENERIC) or not isinstance(listed, Mapping):
        return
    if str(kind).removesuffix("Fast") == "LlamaTokenizer" and _is_of_bytes(backend):
        return
    texts = {token.get("content") for token in listed.values() if isinstance(token, Mapping)} | names
    for token_id, token in backend.get_added_tokens_decoder().items():
        if token.content not in texts:
            raise CheckpointError(
                f"{file}: added_tokens_decoder lacks {token.content!r} (id {token_id}), a token that tokenizer.json "
                f"adds; the class {kind} of transformers would read it as plain text: list it there, or set "
                f'tokenizer_class to "{_AS_IT_IS}"'
            )


def _is_of_bytes(backend: Backend) -> bool:
    steps = Backend(models.BPE())
    if backend.pre_tokenizer is not None:
        steps.pre_tokenizer = backend.pre_tokenizer
    return any(step["type"] == "ByteLevel" for step in flat_steps(json.loads(steps.to_str())["pre_tokenizer"]))


def _puts_space(name: str, normalizers: list[Any], cuts: list[Any]) -> Iterator[bool]:
    """Whether tokenizer.json puts a space before a text; nothing where the class leaves that to tokenizer.json."""
    if name != "LlamaTokenizer":  # of which one of bytes is loaded by the class that takes the file as it is
        yield from (step["add_prefix_space"] for step in cuts if step["type"] == "ByteLevel")
    elif not any(step["type"] == "ByteLevel" for step in cuts):
        prepends = any(step["type"] == "Prepend" for step in normalizers)
        yield prepends or any(step["type"] == "Metaspace" and step["prepend_scheme"] != "never" for step in cuts)


def _refuse(file: Path, key: str, value: object, what: str, kind: object) -> NoReturn:
    reads = f"the class {kind}" if kind else "the model's own class"
    raise CheckpointError(
        f"{file}: {key} is {json.dumps(value)}, but tokenizer.json {what}; {reads} of transformers would make other "
        f'tokens than it: remove {key}, or set tokenizer_class to "{_AS_IT_IS}" if tokenizer.json is right'
    )
