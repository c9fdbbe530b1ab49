"""Pairs of texts, a source and the target to be written from it: rows → token examples → batches.

A row is `{"source": ..., "target": ...}`; `columns` names other keys. A source reads as the tokenizer's own texts do,
with its first token where it has one and its last; a target ends with the token that ends a text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from burnish.corpus.records import Problems, expand, read_rows
from burnish.datasets.bad_rows import BadRowError
from burnish.datasets.batches import Batch, micro_batches
from burnish.datasets.fields import Fields
from burnish.datasets.report import Account, DropError, Report, encode_all
from burnish.datasets.rows import MEMORY, Paths, RowPlace
from burnish.errors import CheckpointError, DataError
from burnish.text.tokenizer import Tokenizer

KEYS = ("source", "target")


@dataclass(frozen=True, slots=True)
class TextPair:
    """A source and its target. The rest as in a `Conversation`."""

    source: str
    target: str
    place: RowPlace = MEMORY
    fault: str | None = None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PairExample:
    """Token ids of a source and of its target; the target without what every target begins with."""

    source: list[int]
    target: list[int]


def read_text_pairs(paths: Paths, *, columns: Mapping[str, str] | None = None) -> list[TextPair]:
    """Read every row of every file.

    Args:
        paths: a file, a pattern such as `data/*.parquet`, or several.
        columns: the file's names for the keys, such as `{"source": "document", "target": "summary"}`.

    Raises:
        DataError: listing up to ten bad rows by file, line, reason and fix.
    """
    for known in columns or {}:
        if known not in KEYS:
            raise DataError(f'columns: "{known}" is not a key; expected one of {", ".join(KEYS)}')
    pairs: list[TextPair] = []
    problems = Problems()
    for path in expand(paths):
        for row in read_rows(path, problems=problems):
            try:
                fields = Fields(row.value, columns)
                source, target = (_text(fields, key) for key in KEYS)
                pairs.append(
                    TextPair(
                        source, target, RowPlace(row.file, row.line), _fault(source, target), tuple(fields.unused())
                    )
                )
            except BadRowError as error:
                problems.add(row.file, row.line, str(error))
    problems.raise_if_any()
    return pairs


def _text(row: Fields, key: str) -> str:
    if row.get(key) is None:
        keys = ", ".join(map(repr, row))
        raise BadRowError(f'no "{key}"; the row has {keys}: name the one that is meant in columns, {{{key}: ...}}')
    value = row[key]
    if not isinstance(value, str):
        raise BadRowError(f'"{key}" must be text, found {type(value).__name__}')
    return value


def _fault(source: str, target: str) -> str | None:
    return next((f"the {key} is empty" for key, text in zip(KEYS, (source, target), strict=True) if not text), None)


def encode_source(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a source."""
    first = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    last = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    return [*first, *tokenizer.encode(text), *last]


def text_pair_examples(
    pairs: Iterable[TextPair], tokenizer: Tokenizer, *, max_source: int, max_target: int
) -> tuple[list[PairExample], Report]:
    """Encode pairs; one whose source or target has more tokens than allowed is dropped and named.

    Raises CheckpointError where the tokenizer has no token that ends a text.
    """
    if (end := tokenizer.eos_id) is None:
        raise CheckpointError(f"{tokenizer.source}: names no eos_token, so that no target would ever end")

    def encode(row: TextPair, account: Account) -> PairExample:
        source, target = encode_source(tokenizer, row.source), [*tokenizer.encode(row.target), end]
        for key, tokens, limit in (("source", source, max_source), ("target", target, max_target)):
            if len(tokens) > limit:
                raise DropError(f"the {key} has {len(tokens)} tokens, more than max_{key} {limit}")
        return PairExample(source, target)

    return encode_all(pairs, encode, "pairs")


def text_pair_batches(
    examples: Sequence[PairExample], *, prefix: Sequence[int], micro_batch_tokens: int
) -> list[Batch]:
    """Micro-batches with a row a pair; of source and target together about `micro_batch_tokens` tokens.

    prefix: what every target begins with; it is read and not scored.
    """
    if not prefix:
        raise ValueError("a target begins with at least one token: nothing else predicts its first")
    return [
        Batch.from_rows(
            [[*prefix, *examples[i].target] for i in group],
            [[False] * len(prefix) + [True] * len(examples[i].target) for i in group],
            sources=[examples[i].source for i in group],
        )
        for group in micro_batches([[[*e.source, *e.target]] for e in examples], micro_batch_tokens)
    ]
