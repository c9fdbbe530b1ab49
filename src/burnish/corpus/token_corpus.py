"""Documents → token windows, stored so that training reads them without the tokenizer.

Notable choices:
- a window never holds two documents, so no attention mask has to part them and a batch is a forest of roots;
- a document too long for one window is cut into pieces of nearly equal length, so that no piece is left with
  almost no context;
- groups of documents (by convention `domain` and `general`) stay apart, each with its own held-out part.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from burnish.corpus.clean import (
    Removed,
    Step,
    StepStatistics,
    normalize_unicode,
    normalize_whitespace,
    remove_if,
    rewrite,
    run_steps,
    split_long,
    too_short,
)
from burnish.corpus.deduplicate import content_hash, exact_duplicates
from burnish.corpus.documents import Document
from burnish.corpus.folders import Skipped
from burnish.corpus.folders import counts as skipped_counts
from burnish.corpus.folders import rows as skipped_rows
from burnish.corpus.heldout import Split as HeldoutSplit
from burnish.corpus.heldout import split_heldout
from burnish.errors import DataError
from burnish.files import atomic_folder
from burnish.text.tokenizer import Tokenizer

Split = Literal["train", "heldout"]
FORMAT = "burnish-corpus-1"
TOKENS_FILE = "tokens.safetensors"
REPORT_FILE = "corpus.json"
REMOVED_FILE = "removed.jsonl"
SKIPPED_FILE = "skipped.jsonl"
TOKENIZER_FOLDER = "tokenizer"
"""In a corpus' folder: what its tokens mean, for models that are trained on it from nothing."""

TrainTokenizer = Callable[[Iterable[str]], Tokenizer]
"""Makes a tokenizer of texts."""


class WindowIndex(NamedTuple):
    """A training window: its group and its number there."""

    group: str
    number: int


@dataclass(frozen=True, eq=False)
class Windows:
    """Token windows, one behind the other.

    tokens: `[n_tokens]` int32.
    starts: `[n_windows + 1]` int64; window `i` is `tokens[starts[i]:starts[i + 1]]`.
    documents: `[n_windows]` int32, the number of the document that each window is a piece of.
    """

    tokens: Tensor
    starts: Tensor
    documents: Tensor

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> list[int]:
        start, end = self.starts[index : index + 2].tolist()
        return list(self.tokens[start:end].tolist())

    @property
    def lengths(self) -> list[int]:
        """Tokens of each window."""
        return list(torch.diff(self.starts).tolist())

    @property
    def n_documents(self) -> int:
        return len(torch.unique(self.documents))


def pack(documents: Sequence[Sequence[int] | npt.NDArray[np.int32]], window: int) -> Windows:
    """Cut tokenized documents into windows of at most `window` tokens; no token is lost or repeated."""
    if window < 2:
        raise DataError(f"window is {window}; expected at least 2 tokens, one to read and one to predict")
    lengths: list[int] = []
    numbers: list[int] = []
    for number, tokens in enumerate(documents):
        pieces = -(-len(tokens) // window)
        lengths += [len(tokens) // pieces + (piece < len(tokens) % pieces) for piece in range(pieces)]
        numbers += [number] * pieces
    flat = np.concatenate([np.array([], dtype=np.int32), *(np.asarray(tokens, dtype=np.int32) for tokens in documents)])
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Windows(
        torch.from_numpy(flat),
        torch.from_numpy(starts.astype(np.int64)),
        torch.tensor(numbers, dtype=torch.int32),
    )


def tokenize(documents: Sequence[Document], tokenizer: Tokenizer) -> list[list[int]]:
    """Encode documents as plain text, each ended by the end-of-sequence token."""
    begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    end = [tokenizer.eos_id] if tokenizer.eos_id is not None else []
    return [[*begin, *tokenizer.encode(document.text), *end] for document in documents]


@dataclass(frozen=True, eq=False)
class TokenCorpus:
    """Windows of each group, apart for training and held out.

    window: the most tokens that one has. vocabulary: fingerprint of the tokenizer's, or nothing where it is not known.
    tokenizer: what the tokens mean, which `save` writes too and `load_tokenizer` reads.
    """

    window: int
    vocab_size: int
    train: Mapping[str, Windows]
    heldout: Mapping[str, Windows]
    vocabulary: str = ""
    tokenizer: Tokenizer | None = None

    def check_tokenizer(self, tokenizer: Tokenizer, model: str) -> None:
        """Raise DataError unless the corpus' tokens mean to `tokenizer`, that of `model`, what they were made of."""
        if self.vocab_size != tokenizer.vocab_size:
            raise DataError(
                f"the corpus was made for a vocabulary of {self.vocab_size} tokens, the model {model} has "
                f"{tokenizer.vocab_size}; set the corpus stage's `tokenizer` to this model"
            )
        if self.vocabulary and self.vocabulary != fingerprint(tokenizer):
            raise DataError(
                f"the corpus was made with other tokens than those of the model {model}, though there are equally "
                "many; set the corpus stage's `tokenizer` to this model"
            )

    def __getitem__(self, index: WindowIndex) -> list[int]:
        """Return the tokens of a training window."""
        return self.train[index.group][index.number]

    def sequences(self, group: str, split: Split) -> list[list[int]]:
        """Return all windows of a group's split as token lists."""
        windows = (self.train if split == "train" else self.heldout)[group]
        return [windows[index] for index in range(len(windows))]

    def digest(self) -> str:
        """Hash of all tokens and where they are parted."""
        found = hashlib.sha256(f"{self.window} {self.vocab_size} {self.vocabulary}".encode())
        for split in (self.train, self.heldout):
            for group, windows in sorted(split.items()):
                found.update(group.encode())
                found.update(windows.starts.numpy().tobytes() + windows.tokens.numpy().tobytes())
        return found.hexdigest()

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return documents, windows and tokens of each group and split."""
        return {
            group: {
                split: {
                    "documents": windows.n_documents,
                    "windows": len(windows),
                    "tokens": len(windows.tokens),
                }
                for split, windows in (("train", self.train[group]), ("heldout", self.heldout[group]))
            }
            for group in self.train
        }

    def save(self, folder: str | Path, report: "CorpusReport | None" = None) -> None:
        """Write `tokens.safetensors`, `corpus.json`, `removed.jsonl`, `skipped.jsonl` and `tokenizer/`, or nothing."""
        tensors = {}
        for split, groups in (("train", self.train), ("heldout", self.heldout)):
            for group, windows in groups.items():
                for name in ("tokens", "starts", "documents"):
                    tensors[f"{group}/{split}/{name}"] = getattr(windows, name).contiguous()
        report = report or CorpusReport()
        # One key only: safetensors writes several in random order, and equal corpora must be equal files.
        metadata = {
            FORMAT: json.dumps({"window": self.window, "vocab_size": self.vocab_size, "vocabulary": self.vocabulary})
        }
        description = {
            "window": self.window,
            "vocab_size": self.vocab_size,
            "counts": self.counts(),
            "cut_for_heldout": report.cut,
            "steps": {group: [asdict(step) for step in steps] for group, steps in report.steps.items()},
            "skipped": {group: skipped_counts(skipped) for group, skipped in report.skipped.items()},
        }
        with atomic_folder(folder) as temporary:
            save_file(tensors, temporary / TOKENS_FILE, metadata=metadata)
            if self.tokenizer is not None:
                (temporary / TOKENIZER_FOLDER).mkdir()
                self.tokenizer.save(temporary / TOKENIZER_FOLDER, stops=True)
            (temporary / REPORT_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
            _write_lines(
                temporary / REMOVED_FILE,
                (
                    {"group": group, "step": item.step, "reason": item.reason, **item.document.row()}
                    for group, removed in report.removed.items()
                    for item in removed
                ),
            )
            _write_lines(
                temporary / SKIPPED_FILE,
                ({"group": group, **row} for group, files in report.skipped.items() for row in skipped_rows(files)),
            )

    @classmethod
    def load(cls, folder: str | Path) -> "TokenCorpus":
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or not a corpus.
        """
        path = Path(folder) / TOKENS_FILE
        splits: dict[str, dict[str, dict[str, Tensor]]] = {"train": {}, "heldout": {}}
        try:
            with safe_open(path, framework="pt") as file:
                facts = _facts(path, file.metadata())
                for key in file.keys():  # noqa: SIM118 (a safetensors file is no mapping)
                    group, split, name = key.rsplit("/", 2)
                    splits[split].setdefault(group, {})[name] = file.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run the corpus stage again") from error
        train, heldout = (
            {group: Windows(**tensors) for group, tensors in groups.items()} for groups in splits.values()
        )
        return cls(**facts, train=train, heldout=heldout)


def _facts(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if FORMAT not in (metadata or {}):
        raise DataError(f"{path}: not a corpus written by this version; run the corpus stage again")
    facts: dict[str, Any] = json.loads((metadata or {})[FORMAT])
    return facts


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer that a saved corpus was made with. Raises DataError where the corpus has none."""
    own = Path(folder) / TOKENIZER_FOLDER
    if not own.is_dir():
        raise DataError(f"{own}: missing, so what the corpus' tokens mean is not known; run the corpus stage again")
    return Tokenizer.from_folder(own)


@dataclass(slots=True)
class CorpusReport:
    """What cleaning did to each group, and the documents it removed.

    cut: documents of which a part was held out. skipped: files of folders that were not read, as the reader told.
    """

    steps: dict[str, list[StepStatistics]] = field(default_factory=dict)
    removed: dict[str, list[Removed]] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[Skipped]] = field(default_factory=dict)


def cleaning_steps(*, min_characters: int = 50, max_characters: int | None = None) -> list[Step]:
    """Return the default steps: longer documents are split, shorter ones removed."""
    return [
        rewrite("unicode", normalize_unicode),
        rewrite("whitespace", normalize_whitespace),
        *([split_long(max_characters)] if max_characters is not None else []),
        remove_if("too short", too_short(min_characters)),
    ]


def build_corpus(
    groups: Mapping[str, Sequence[Document]],
    tokenizer: Tokenizer | TrainTokenizer,
    *,
    window: int,
    heldout_fraction: float = 0.05,
    steps: Sequence[Step] | None = None,
) -> tuple[TokenCorpus, CorpusReport]:
    """Clean, deduplicate, split, tokenize and pack groups of documents.

    A document that is in several groups stays in the first one only.

    Args:
        groups: by convention `domain` and `general`, the most important first.
        tokenizer: one that is there, or what makes one of the training text; never of what is held out.
        window: tokens that a window has at most.
        heldout_fraction: share of each group's tokens that is held out, see `split_heldout`; of its bytes where the
            tokenizer is made of what the split leaves.
        steps: what cleans the documents before deduplication; None is `cleaning_steps()`.

    Raises:
        DataError: a group has no documents left.
    """
    report = CorpusReport()
    encoded: dict[str, npt.NDArray[np.int32]] = {}

    def tokens(text: str, by: Tokenizer) -> npt.NDArray[np.int32]:
        if text not in encoded:
            (ids,) = tokenize([Document("", text, "")], by)
            encoded[text] = np.array(ids, dtype=np.int32)
        return encoded[text]

    def size(text: str) -> int:
        return len(tokens(text, tokenizer)) if isinstance(tokenizer, Tokenizer) else len(text.encode())

    parts: dict[str, HeldoutSplit] = {}
    seen: set[bytes] = set()
    for group, documents in groups.items():
        chosen = [*(cleaning_steps() if steps is None else steps), exact_duplicates(frozenset(seen))]
        kept, report.removed[group], report.steps[group] = run_steps(documents, chosen)
        if not kept:
            raise DataError(
                f"{group}: none of {len(documents)} documents is left after cleaning; "
                f"{'the first was removed: ' + report.removed[group][0].reason if documents else 'name some'}"
            )
        seen.update(content_hash(document.text) for document in kept)
        parts[group] = split_heldout(kept, fraction=heldout_fraction, size=size)
        report.cut[group] = parts[group].cut
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = tokenizer(document.text for part in parts.values() for document in part.train)
    train, heldout = (
        {
            group: pack([tokens(document.text, tokenizer) for document in getattr(part, side)], window)
            for group, part in parts.items()
        }
        for side in ("train", "heldout")
    )
    return TokenCorpus(window, tokenizer.vocab_size, train, heldout, fingerprint(tokenizer), tokenizer), report


def fingerprint(tokenizer: Tokenizer) -> str:
    """Hash of which token each id stands for: corpora and models that share it may be put together."""
    vocabulary = sorted((number, token) for token, number in tokenizer.backend.get_vocab().items())
    return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()


def _write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
