"""`python -m benchmarks.near_duplicate_detectors`: MinHash, SimHash and vectors on the same edited copies.

As in `benchmarks.near_duplicates`, the first words of real pages are copied with a share of them exchanged for words of
other pages. For each share: how many copies each detector finds, MinHash beside its theory 1 - (1 - s^r)^b. Beside it,
how many pairs of different texts it takes for copies: of the pages, and of the sections of Python's own help, which are
about similar things. Writes `runs/bench/near_duplicate_detectors.json`.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import typer

from benchmarks.near_duplicates import PERMUTATIONS, edited, jaccard, pages

SHARES = (0.01, 0.03, 0.05, 0.10, 0.20, 0.40)
COSINES = (0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.9, 0.85)
SECTIONS = 150
"""Of Python's help, whose pairs are looked at."""
Alike = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.bool_]]
"""Whether each of some texts is alike each of others, `[texts, others]`."""


def minhash(threshold: float, ngram: int) -> Alike:
    from burnish.corpus.preparation.steps.near_duplicates import MinHash

    step = MinHash(threshold=threshold, ngram=ngram, permutations=PERMUTATIONS)

    def alike(texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.bool_]:
        one, other = (np.array(step.keys(pl.Series(side)).to_list(), np.uint64) for side in (texts, others))
        return np.asarray((one[:, None] == other[None]).any(axis=2))

    return alike


def simhash(max_distance: int) -> Alike:
    from burnish.corpus.preparation.steps.simhash import SimHash, fingerprints

    step = SimHash(max_distance=max_distance)

    def alike(texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.bool_]:
        one, other = (fingerprints(pl.Series(side), step.ngram, step.seed)[0] for side in (texts, others))
        return np.asarray(np.bitwise_count(one[:, None] ^ other[None]) <= max_distance)

    return alike


def measured(
    alike: Alike, originals: Sequence[str], copies: dict[float, list[str]], others: dict[str, Sequence[str]]
) -> dict[str, Any]:
    """Of each share the copies that are found, and how many pairs of different texts are taken for copies."""
    begun = time.process_time()
    wrong = {name: int(np.triu(alike(texts, texts), 1).sum()) for name, texts in others.items()}
    found = {share: float(np.diagonal(alike(originals, texts)).mean()) for share, texts in copies.items()}
    right = sum(found.values()) * len(originals)
    return {
        "found": found,
        "different_found": wrong,
        "precision": right / (right + sum(wrong.values())) if right else None,
        "cpu_seconds": round(time.process_time() - begun, 2),
    }


def main(
    n: Annotated[int, typer.Option("--pages", min=2, help="How many pages are copied.")] = 60,
    words: Annotated[int, typer.Option(min=20, help="Words of each text that are looked at.")] = 150,
    output: Annotated[Path, typer.Option(help="File that gets the figures.")] = Path(
        "runs/bench/near_duplicate_detectors.json"
    ),
) -> None:
    """Measure which copies three detectors find, and what they take for copies."""
    from burnish.corpus.embeddings import DEFAULT_ENCODER, Encoder
    from burnish.corpus.prose import stdlib_documents
    from burnish.files import atomic_write_text
    from burnish.hardware import set_threads

    set_threads(1)
    originals = [_first(text, words) for text in pages()[:n]]
    sections = [_first(document.text, words) for document in stdlib_documents()]
    others = {"pages": originals, "sections": [one for one in sections if len(one.split()) == words][:SECTIONS]}
    generator = Random(0)
    vocabulary = [word for text in originals for word in text.split()]
    copies = {share: [edited(text, share, vocabulary, generator) for text in originals] for share in SHARES}
    embedder = Encoder(DEFAULT_ENCODER, compute_dtype="float32", device="cpu").embedder
    begun = time.process_time()
    vectors: dict[str, npt.NDArray[np.float32]] = {}
    sides = (*others.values(), *copies.values())
    for number, side in enumerate(sides, start=1):
        vectors.update(_vectors(embedder, side))
        seconds = time.process_time() - begun
        print(f"encoded {number} of {len(sides)} sides, {seconds:.0f} s of processor time", flush=True)
    encoding = time.process_time() - begun

    def near(cosine: float) -> Alike:
        def alike(texts: Sequence[str], others: Sequence[str]) -> npt.NDArray[np.bool_]:
            one, other = (np.stack([vectors[text] for text in side]) for side in (texts, others))
            return np.asarray(one @ other.T >= cosine)

        return alike

    detectors = {
        "MinHash 0.9": minhash(0.9, 5),
        "MinHash 0.7": minhash(0.7, 5),
        "MinHash 0.7, ngram 1": minhash(0.7, 1),
        "SimHash 3": simhash(3),
        "SimHash 6": simhash(6),
        **{f"vectors {cosine}": near(cosine) for cosine in COSINES},
    }
    results = {name: measured(alike, originals, copies, others) for name, alike in detectors.items()}
    theory = {
        f"theory of MinHash {threshold:g}, ngram {ngram}": {
            share: _theory(originals, texts, threshold, ngram) for share, texts in copies.items()
        }
        for threshold, ngram in ((0.9, 5), (0.7, 5), (0.7, 1))
    }
    content = {"pages": len(originals), "sections": len(others["sections"]), "words": words} | theory | results
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(output, json.dumps(content | {"encoding_cpu_seconds": encoding}, indent=2) + "\n")
    pairs = {name: len(texts) * (len(texts) - 1) // 2 for name, texts in others.items()}
    print(f"{words} words each; pairs of different texts: {pairs}; {encoding:.1f} s to encode {len(vectors)} texts")
    print(f"{'share of words exchanged':28}" + "".join(f"{share:8.0%}" for share in SHARES))
    for name, row in theory.items():
        print(f"{name:28}" + "".join(f"{value:8.3f}" for value in row.values()))
    for name, one in results.items():
        shares = "".join(f"{value:8.3f}" for value in one["found"].values())
        print(f"{name:28}{shares}   different: {one['different_found']}")


def _first(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _theory(originals: Sequence[str], copies: Sequence[str], threshold: float, ngram: int) -> float:
    """The mean probability by which copies of their own likeness are found."""
    from burnish.corpus.preparation.steps.near_duplicates import best_banding

    bands, rows = best_banding(threshold, PERMUTATIONS)
    s = np.array([jaccard(one, other, ngram) for one, other in zip(originals, copies, strict=True)])
    return float(np.mean(1 - (1 - s**rows) ** bands))


def _vectors(embedder: Any, texts: Sequence[str]) -> list[tuple[str, npt.NDArray[np.float32]]]:
    return list(zip(texts, embedder.embed(texts, "document"), strict=True))


if __name__ == "__main__":
    typer.run(main)
