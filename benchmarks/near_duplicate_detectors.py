"""`python -m benchmarks.near_duplicate_detectors`: MinHash, SimHash and vectors on the same edited copies.

As in `benchmarks.near_duplicates`, real pages are copied with a share of their words exchanged for words of other
pages. For each share: how many copies each detector finds, MinHash beside its theory 1 - (1 - s^r)^b, and of pairs of
different pages, how many it takes for copies. Writes `runs/bench/near_duplicate_detectors.json`.
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
COSINES = (0.99, 0.95, 0.9)
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


def measured(alike: Alike, originals: Sequence[str], copies: dict[float, list[str]]) -> dict[str, Any]:
    """Of each share the copies that are found, and how many of the pairs of different pages are taken for copies."""
    begun = time.process_time()
    among = alike(originals, originals)
    found = {share: float(np.diagonal(alike(originals, texts)).mean()) for share, texts in copies.items()}
    return {
        "found": found,
        "different_found": int(np.triu(among, 1).sum()),
        "cpu_seconds": round(time.process_time() - begun, 2),
    }


def main(
    n: Annotated[int, typer.Option("--pages", min=2, help="How many pages.")] = 60,
    output: Annotated[Path, typer.Option(help="File that gets the figures.")] = Path(
        "runs/bench/near_duplicate_detectors.json"
    ),
) -> None:
    """Measure which copies three detectors find."""
    from burnish.corpus.embeddings import DEFAULT_ENCODER, Encoder
    from burnish.files import atomic_write_text
    from burnish.hardware import set_threads

    set_threads(1)
    originals = pages()[:n]
    generator = Random(0)
    vocabulary = [word for text in originals for word in text.split()]
    copies = {share: [edited(text, share, vocabulary, generator) for text in originals] for share in SHARES}
    embedder = Encoder(DEFAULT_ENCODER, compute_dtype="float32", device="cpu").embedder
    begun = time.process_time()
    vectors = {text: vector for side in (originals, *copies.values()) for text, vector in _vectors(embedder, side)}
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
    results = {name: measured(alike, originals, copies) for name, alike in detectors.items()}
    theory = {
        share: float(np.mean([_theory(jaccard(one, other, 5)) for one, other in zip(originals, texts, strict=True)]))
        for share, texts in copies.items()
    }
    content = {"pages": len(originals), "theory of MinHash 0.9": theory, "encoding_cpu_seconds": encoding} | results
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(output, json.dumps(content, indent=2) + "\n")
    print(f"{len(originals)} pages, {encoding:.1f} s of processor time to encode {len(vectors)} texts")
    print(f"{'theory of MinHash 0.9':24}" + "".join(f"{value:8.3f}" for value in theory.values()))
    for name, one in results.items():
        shares = "".join(f"{value:8.3f}" for value in one["found"].values())
        print(f"{name:24}{shares}   different pages: {one['different_found']}")


def _theory(s: float) -> float:
    from burnish.corpus.preparation.steps.near_duplicates import best_banding

    bands, rows = best_banding(0.9, PERMUTATIONS)
    return float(1 - (1 - s**rows) ** bands)


def _vectors(embedder: Any, texts: Sequence[str]) -> list[tuple[str, npt.NDArray[np.float32]]]:
    return list(zip(texts, embedder.embed(texts, "document"), strict=True))


if __name__ == "__main__":
    typer.run(main)
