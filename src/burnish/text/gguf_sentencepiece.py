"""SentencePiece's BPE (`tokenizer.ggml.model` "llama") to a `tokenizers` backend and back.

GGUF and SentencePiece give every token a score and merge the neighbours whose union has the highest one; a
tokenizer.json lists the pairs that merge, in order. Each side follows from the other, except that of two overlapping
places where the same token could be made, SentencePiece takes the left one and `tokenizers` the pair listed first.
Spaces are written as "▁", and a character without a token of its own as the tokens of its bytes, such as `<0x0A>`.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers

from burnish.errors import CheckpointError

SPACE = "▁"

_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def is_byte(token: str) -> bool:
    """Whether a token stands for one byte of a character that has no token."""
    return token in _BYTES


def build_sentencepiece(
    ids: Mapping[str, int], scores: Mapping[str, float], *, unknown: str | None, prefix: bool
) -> Tokenizer:
    """A tokenizer of the vocabulary `ids`, where merges make the tokens that have `scores`.

    `prefix` puts a space before a text and before what follows an added token, as llama.cpp does even where the text
    begins with one.
    """
    tokenizer = Tokenizer(
        models.BPE(
            vocab=dict(ids),
            merges=merges_of(ids, scores),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    steps: list[decoders.Decoder] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)])
        steps.append(decoders.Strip(content=" ", left=1))
    else:
        tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def merges_of(ids: Mapping[str, int], scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """Every pair of tokens that makes a token of `scores`, in the order of transformers' converter.

    That is by falling score of what a pair makes, then by the length of its left part, then of its right part.
    """
    pairs = [
        (score, cut, len(token) - cut, token[:cut], token[cut:])
        for token, score in sorted(scores.items(), key=lambda item: ids[item[0]])
        for cut in range(1, len(token))
        if token[:cut] in scores and token[cut:] in scores
    ]
    pairs.sort(key=lambda pair: pair[:3], reverse=True)
    return [(left, right) for *_, left, right in pairs]


def prefixes_space(description: Mapping[str, Any]) -> bool | None:
    """Whether a tokenizer.json with SentencePiece's handling of spaces puts one before a text; None for any other.

    Of its variants this accepts `Metaspace` without word boundaries too. Before a text that begins with a space, and
    behind a control token, that may put no further one where llama.cpp does.
    """
    normalizer = [_plain(step) for step in flat_steps(description["normalizer"])]
    pre = [_plain(step) for step in flat_steps(description["pre_tokenizer"])]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    # Gemma's files carry a split at spaces, of which none are left by then.
    no_split = pre in ([], [{"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}])
    if no_split and normalizer == [{"type": "Prepend", "prepend": SPACE}, replace]:
        return True
    if no_split and normalizer == [replace]:
        return False
    if not normalizer and len(pre) == 1 and pre[0]["type"] == "Metaspace" and not pre[0].get("split", True):
        return bool(pre[0]["prepend_scheme"] != "never") if pre[0]["replacement"] == SPACE else None
    return None


def scores_of(
    ids: Mapping[str, int], merges: Sequence[tuple[str, str]], added: Collection[str], source: str
) -> dict[str, float]:
    """A score for each token that merges may make or need, from which `merges_of` makes the same merges again.

    The earlier a token's merges stand, the higher its score; tokens that no merge makes come last. `added` tokens take
    no part, since llama.cpp looks for them before it merges. Raises `CheckpointError` where the merges are not those
    of any scores, or where a byte has no token.
    """
    apart = {*added, *_BYTES}
    given = [(left, right) for left, right in merges if apart.isdisjoint((left, right, left + right))]
    made = [token for token, _ in itertools.groupby(left + right for left, right in given)]
    scores = {token: -float(rank) for rank, token in enumerate(made)}
    others = sorted(ids.keys() - scores.keys() - apart, key=ids.__getitem__)
    scores |= {token: -float(rank) for rank, token in enumerate(others, start=len(made))}
    if len(scores) != len(made) + len(others) or set(merges_of(ids, scores)) != set(given):
        raise CheckpointError(
            f"{source}: GGUF keeps a score for each token of a SentencePiece vocabulary, and the merges of this "
            "tokenizer are not those of any scores; it was not made from a SentencePiece model"
        )
    if missing := sorted(_BYTES - ids.keys()):
        raise CheckpointError(f"{source}: llama.cpp needs a token for every byte, and {missing[0]} is missing")
    return scores


def flat_steps(step: Any) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer of tokenizer.json, sequences within sequences opened up."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [inner for outer in step.get("normalizers", step.get("pretokenizers")) for inner in flat_steps(outer)]


def _plain(step: dict[str, Any]) -> dict[str, Any]:
    """A step without options that are at their default."""
    return {key: value for key, value in step.items() if not (key == "invert" and value is False)}
