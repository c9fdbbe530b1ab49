"""A corpus: token windows of groups of documents, stored so that training reads them without tokenizer or memory.

Notable choices:
- a window never holds two documents, unless related ones were joined on purpose: no attention mask has to part them,
  and a batch is a forest of roots;
- a document too long for one window is cut into pieces of nearly equal length, so that no piece is left with
  almost no context;
- groups of documents (by convention `domain` and `general`) stay apart, each with its own held-out part;
- a corpus that was read from a folder is views of its files.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from burnish.corpus.mixture import Mixture
from burnish.corpus.shards import SHARD_TOKENS, read_windows, write_windows
from burnish.corpus.windows import Windows
from burnish.errors import DataError
from burnish.files import atomic_folder
from burnish.text.tokenizer import Tokenizer

Split = Literal["train", "heldout"]
FORMAT = "burnish-corpus-2"
FACTS_FILE = "corpus.json"
TOKENIZER_FOLDER = "tokenizer"
"""In a corpus' folder: what its tokens mean, for models that are trained on it from nothing."""
_HASHED_WINDOWS = 4096


class WindowIndex(NamedTuple):
    """A training window: its group and its number there."""

    group: str
    number: int


@dataclass(frozen=True, eq=False)
class TokenCorpus:
    """Windows of each group, apart for training and held out.

    window: the most tokens that one has. vocabulary: fingerprint of the tokenizer's, or nothing where it is not known.
    tokenizer: what the tokens mean, which `save` writes too and `load_tokenizer` reads. mixture: how much is read of
    each source, where not all alike. ordered: whether training windows are read as they lie.
    """

    window: int
    vocab_size: int
    train: Mapping[str, Windows]
    heldout: Mapping[str, Windows]
    vocabulary: str = ""
    tokenizer: Tokenizer | None = None
    mixture: Mixture | None = None
    ordered: bool = False

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
        """Hash of all tokens, where they are parted, and how they are read."""
        mixture = None if self.mixture is None else self.mixture.model_dump_json()
        found = hashlib.sha256(f"{self.window} {self.vocab_size} {self.vocabulary} {mixture} {self.ordered}".encode())
        for split in (self.train, self.heldout):
            for group, windows in sorted(split.items()):
                found.update(group.encode())
                found.update(windows.lengths.astype("<i4").tobytes())
                for first in range(0, len(windows), _HASHED_WINDOWS):
                    part = windows.tokens(first, min(first + _HASHED_WINDOWS, len(windows)))
                    found.update(part.astype("<i4").tobytes())
        return found.hexdigest()

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return documents, windows and tokens of each group and split."""
        return {
            group: {
                split: {
                    "documents": windows.n_documents,
                    "windows": len(windows),
                    "tokens": windows.n_tokens,
                }
                for split, windows in (("train", self.train[group]), ("heldout", self.heldout[group]))
            }
            for group in self.train
        }

    def save(self, folder: str | Path, *, shard_tokens: int = SHARD_TOKENS) -> None:
        """Write `train/GROUP/`, `heldout/GROUP/` and what `save_facts` does, or nothing. shard_tokens: of a file."""
        with atomic_folder(folder) as temporary:
            for split, groups in (("train", self.train), ("heldout", self.heldout)):
                for group, windows in groups.items():
                    into = temporary / split / group
                    write_windows(windows, into, vocab_size=self.vocab_size, shard_tokens=shard_tokens)
            self.save_facts(temporary)

    def save_facts(
        self,
        folder: Path,
        *,
        description: Mapping[str, Any] | None = None,
        lines: Mapping[str, Iterable[Mapping[str, object]]] | None = None,
    ) -> None:
        """Write what is known of a corpus beside its windows: `corpus.json` and `tokenizer/`.

        description: more for `corpus.json`. lines: JSON lines by the name of their file.
        """
        facts = {
            "format": FORMAT,
            "window": self.window,
            "vocab_size": self.vocab_size,
            "vocabulary": self.vocabulary,
            "mixture": None if self.mixture is None else self.mixture.model_dump(mode="json"),
            "ordered": self.ordered,
            "counts": self.counts(),
        }
        if self.tokenizer is not None:
            (folder / TOKENIZER_FOLDER).mkdir()
            self.tokenizer.save(folder / TOKENIZER_FOLDER, stops=True)
        text = json.dumps({**facts, **(description or {})}, indent=2)
        (folder / FACTS_FILE).write_text(text + "\n", encoding="utf-8")
        for name, rows in (lines or {}).items():
            with (folder / name).open("w", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    @classmethod
    def load(cls, folder: str | Path) -> "TokenCorpus":
        """Map what `save` wrote.

        Raises:
            DataError: a file is missing, damaged or not a corpus.
        """
        path = Path(folder) / FACTS_FILE
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); run the corpus stage again") from error
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise DataError(f"{path}: not a corpus written by this version; run the corpus stage again")
        train, heldout = (
            {group: read_windows(Path(folder) / split / group) for group in facts["counts"]}
            for split in ("train", "heldout")
        )
        mixture = None if facts["mixture"] is None else Mixture.model_validate(facts["mixture"])
        known = {key: facts[key] for key in ("window", "vocab_size", "vocabulary", "ordered")}
        return cls(**known, mixture=mixture, train=train, heldout=heldout)


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer that a saved corpus was made with. Raises DataError where the corpus has none."""
    own = Path(folder) / TOKENIZER_FOLDER
    if not own.is_dir():
        raise DataError(f"{own}: missing, so what the corpus' tokens mean is not known; run the corpus stage again")
    return Tokenizer.from_folder(own)


def fingerprint(tokenizer: Tokenizer) -> str:
    """Hash of which token each id stands for: corpora and models that share it may be put together."""
    vocabulary = sorted((number, token) for token, number in tokenizer.backend.get_vocab().items())
    return hashlib.sha256(json.dumps(vocabulary).encode()).hexdigest()
