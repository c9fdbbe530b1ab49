"""`python -m benchmarks.near_duplicates`: how many near duplicates MinHash finds, and how many that are none.

Real pages are copied with more and more of their words exchanged for words of other pages. Of each copy it is known
how alike it is (Jaccard, of the sets of runs of words), so the theory says with which probability it is found:
1 - (1 - s^r)^b. Beside it stand Burnish's step, and datasketch's MinHash with the same number of permutations, bands
and rows. Writes `runs/bench/near_duplicates.json` and a plot.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer

from benchmarks.material import shared_file

SHARES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40)
SETTINGS = ((0.9, 5), (0.7, 5), (0.5, 5), (0.7, 1))
"""Thresholds, and how many words a run has."""
PERMUTATIONS = 128
_SHOWN = ("jaccard", "recall", "theory", "datasketch", "precision")
MIN_WORDS, MAX_WORDS = 100, 1000


def pages() -> list[str]:
    """Pages of C4 of a few hundred words."""
    rows = shared_file("c4_demo.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [" ".join(json.loads(row)["text"].split()[:MAX_WORDS]) for row in rows]
    return [text for text in texts if len(text.split()) >= MIN_WORDS]


def edited(text: str, share: float, vocabulary: Sequence[str], generator: Random) -> str:
    """The text with this share of its words exchanged."""
    words = text.split()
    for place in generator.sample(range(len(words)), round(share * len(words))):
        words[place] = generator.choice(vocabulary)
    return " ".join(words)


def shingles(text: str, ngram: int) -> set[str]:
    """The runs of words by which texts are compared."""
    words = text.lower().split()
    return {" ".join(words[place : place + ngram]) for place in range(max(len(words) - ngram + 1, 1))}


def jaccard(one: str, other: str, ngram: int) -> float:
    """How alike two texts are."""
    first, second = shingles(one, ngram), shingles(other, ngram)
    return len(first & second) / len(first | second)


def our_bands(texts: Sequence[str], threshold: float, ngram: int) -> tuple[list[set[int]], tuple[int, int]]:
    """The keys of each text's bands, and bands and rows."""
    from burnish.corpus.preparation.steps.near_duplicates import MinHash

    step = MinHash(threshold=threshold, ngram=ngram, permutations=PERMUTATIONS)
    return [set(keys) for keys in step.keys(pl.Series(texts)).to_list()], step.banding


def their_bands(texts: Sequence[str], banding: tuple[int, int], ngram: int) -> list[set[Any]]:
    """The same by datasketch."""
    from datasketch import MinHash

    found = []
    for text in texts:
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([one.encode() for one in shingles(text, ngram)])
        values = sketch.hashvalues
        bands, rows = banding
        found.append({(band, *values[band * rows : (band + 1) * rows].tolist()) for band in range(bands)})
    return found


def measured(threshold: float, ngram: int, originals: list[str], copies_of_page: int) -> dict[str, Any]:
    """Recall by the share of words, and how many pairs of different pages are taken for duplicates."""
    generator = Random(0)
    vocabulary = [word for text in originals for word in text.split()]
    keys, banding = our_bands(originals, threshold, ngram)
    theirs = their_bands(originals, banding, ngram)
    bands, rows = banding
    pages_of: dict[int, set[int]] = {}
    for number, one in enumerate(keys):
        for key in one:
            pages_of.setdefault(key, set()).add(number)
    pairs = [(one, other) for one in range(len(originals)) for other in range(one)]
    points = []
    for share in SHARES:
        numbers = [number for number in range(len(originals)) for _ in range(copies_of_page)]
        copies = [edited(originals[number], share, vocabulary, generator) for number in numbers]
        similar = np.array([jaccard(originals[n], copy, ngram) for n, copy in zip(numbers, copies, strict=True)])
        ours, _ = our_bands(copies, threshold, ngram)
        peer = their_bands(copies, banding, ngram)
        hits = [set().union(*(pages_of.get(key, ()) for key in one)) for one in ours]
        found = [number in hit for number, hit in zip(numbers, hits, strict=True)]
        found_by_peer = [bool(theirs[n] & one) for n, one in zip(numbers, peer, strict=True)]
        wrong = sum(len(hit - {number}) for number, hit in zip(numbers, hits, strict=True))
        points.append(
            {
                "share": share,
                "jaccard": float(similar.mean()),
                "theory": float(np.mean(1 - (1 - similar**rows) ** bands)),
                "recall": float(np.mean(found)),
                "datasketch": float(np.mean(found_by_peer)),
                "precision": sum(found) / (sum(found) + wrong) if sum(found) + wrong else None,
                "pairs": len(copies),
            }
        )
    false = [(one, other) for one, other in pairs if keys[one] & keys[other]]
    return {
        "threshold": threshold,
        "ngram": ngram,
        "bands": bands,
        "rows": rows,
        "points": points,
        "different_pages": len(pairs),
        "found_though_different": [jaccard(originals[one], originals[other], ngram) for one, other in false],
    }


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Recall over the share of words, by threshold, beside the theory."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for number, one in enumerate(results):
        shares = [100 * point["share"] for point in one["points"]]
        colour = f"C{number}"
        axes.plot(shares, [point["theory"] for point in one["points"]], color=colour, alpha=0.5)
        found = [point["recall"] for point in one["points"]]
        axes.plot(shares, found, "o", color=colour, label=f"{one['threshold']}, runs of {one['ngram']}")
        axes.plot(shares, [point["datasketch"] for point in one["points"]], "x", color=colour, markersize=7)
    axes.set(xlabel="words exchanged, %", ylabel="copies found", ylim=(-0.03, 1.03))
    axes.legend(title="threshold; dots: Burnish, crosses: datasketch, lines: theory", frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main(
    copies: Annotated[int, typer.Option(min=1, help="Copies of each page for each share of words.")] = 4,
    output: Annotated[Path, typer.Option(help="File that gets the figures; the plot is beside it.")] = Path(
        "runs/bench/near_duplicates.json"
    ),
) -> None:
    """Measure recall and precision of near duplicates beside the theory."""
    from burnish.files import atomic_write_text

    originals = pages()
    results = [measured(threshold, ngram, originals, copies) for threshold, ngram in SETTINGS]
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(output, json.dumps(results, indent=2) + "\n")
    plot(results, output.with_suffix(".svg"))
    for one in results:
        print(f"threshold {one['threshold']}, runs of {one['ngram']} words: {one['bands']} bands of {one['rows']} rows")
        for point in one["points"]:
            figures = ", ".join(f"{name} {point[name]:.3f}" for name in _SHOWN if point[name] is not None)
            print(f"  {100 * point['share']:5.1f} % of words: {figures}")
        print(f"  of {one['different_pages']:,} pairs of different pages found: {one['found_though_different']}")


if __name__ == "__main__":
    typer.run(main)
