"""The size of a corpus before it is made: its windows, counted on some of the documents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from burnish.corpus.arrangement import Arrangement
from burnish.corpus.building import TrainTokenizer, build_corpus
from burnish.corpus.clean import Step
from burnish.corpus.documents import Document
from burnish.corpus.mixture import Mixture
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import Windows
from burnish.text.tokenizer import Tokenizer

SKETCHED_CHARACTERS = 2_000_000
"""Of each group: some seconds of work, and enough that what a character costs in tokens is known."""


def sketched(
    groups: Mapping[str, Iterable[Document]],
    tokenizer: Tokenizer | TrainTokenizer,
    *,
    window: int,
    heldout_fraction: float,
    steps: Sequence[Step],
    mixture: Mixture | None,
    arrangement: Arrangement,
    characters: int = SKETCHED_CHARACTERS,
) -> TokenCorpus:
    """A corpus of about the size that `build_corpus` will make of the documents; its tokens say nothing.

    Of a group of up to so many characters the windows are those that it will have; of a larger one, a sample's, and as
    many more like them. The other arguments and the errors are those of `build_corpus`.
    """
    weighed = mixture is not None
    samples = {name: _sample(documents, characters, weighed) for name, documents in groups.items()}
    if any(sample.sources - {document.source for document in sample.documents} for sample in samples.values()):
        mixture = None  # whose weights would name a source that the sample has not
    with TemporaryDirectory() as folder:
        corpus, _ = build_corpus(
            {name: sample.documents for name, sample in samples.items()},
            tokenizer,
            Path(folder) / "corpus",
            window=window,
            heldout_fraction=heldout_fraction,
            steps=steps,
            mixture=mixture,
            arrangement=Arrangement.model_validate({"by": "length" if arrangement.ordered else arrangement.by}),
        )
        train, heldout = (
            {name: _repeated(windows, samples[name].times) for name, windows in split.items()}
            for split in (corpus.train, corpus.heldout)
        )
    return replace(corpus, train=train, heldout=heldout)


@dataclass(frozen=True)
class _Sample:
    """Some documents of a group, the sources of all where they are weighed, and how often all have as much text."""

    documents: list[Document]
    sources: set[str]
    times: float


def _sample(documents: Iterable[Document], characters: int, weighed: bool) -> _Sample:
    """Documents at equal distances, together of so many characters at most; a single one that has more is cut."""
    chosen: list[Document] = []
    sources: set[str] = set()
    total = kept = 0
    stride = 1
    for number, document in enumerate(documents):
        total += len(document.text)
        if weighed:
            sources.add(document.source)
        if number % stride == 0:
            chosen.append(replace(document, text=document.text[:characters]))
            kept += len(chosen[-1].text)
        while kept > characters and len(chosen) > 1:
            stride *= 2
            chosen = chosen[::2]
            kept = sum(len(one.text) for one in chosen)
    return _Sample(chosen, sources, total / kept if kept else 1.0)


def _repeated(windows: Windows, times: float) -> Windows:
    """So many times the windows, in turn; all of their tokens are 0, and take no memory."""
    count = round(times * len(windows))

    def again(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        return np.resize(values, count) if len(values) else values

    lengths = again(windows.lengths)
    tokens = np.broadcast_to(np.int32(0), int(lengths.sum(dtype=np.int64)))
    return Windows(
        [tokens],
        lengths,
        again(windows.documents),
        round(times * windows.n_documents),
        again(windows.sources),
        windows.source_names,
    )
