"""`python -m benchmarks.data_kept`: which documents Burnish and datatrove keep of the same ones, and why others.

Takes documents through the steps of the row `prepare` on both sides, datatrove once with its own words and once with
those between white space, and counts how many each side kept, or removed for which reason. A near duplicate counts as
kept if any document of its cluster of copies is. Writes `runs/bench/data_kept.json`.
"""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from benchmarks import data, datatrove_pipeline, documents

KEPT = "kept"


def outcomes(folder: Path, output: Path) -> dict[str, str]:
    """By id, what Burnish did with each document: `kept`, or step and reason."""
    from burnish.corpus.preparation.engines import Processes
    from burnish.corpus.preparation.pipeline import prepare
    from burnish.corpus.preparation.settings import Preparation

    settings = Preparation.model_validate({"sources": [{"paths": [str(folder)]}], "steps": list(data.STEPS)})
    prepare(settings.sources, settings.steps, output, engine=Processes(2))
    kept = pl.read_parquet(output / "documents" / "*.parquet", columns=["id"])["id"]
    removed = pl.read_parquet(output / "removed" / "*.parquet", columns=["id", "step", "reason"])
    return dict.fromkeys(kept, KEPT) | {name: f"{step}: {reason}" for name, step, reason in removed.iter_rows()}


def outcomes_of_peer(folder: Path, output: Path, *, plain_words: bool) -> dict[str, str]:
    """By id, what datatrove did with each document."""
    datatrove_pipeline.run(folder, output, tasks=2, plain_words=plain_words, bands=data.BANDS)
    found = {row["id"]: KEPT for row in data.lines(output / "documents")}
    for place in (output / "removed").iterdir():
        for row in data.lines(place):
            found[row["id"]] = f"{place.name}: {row['metadata'].get('filter_reason', 'duplicate')}"
    return found


def _near(outcome: str) -> bool:
    return outcome.startswith("minhash")


def compared(ours: dict[str, str], peer: dict[str, str]) -> dict[str, Any]:
    """How many documents both keep, and of the others how many for each pair of reasons.

    Of copies of each other either side keeps one, not the same: the clusters that are left are compared too.
    """
    pairs = Counter((ours[name], peer[name]) for name in ours)
    by_cluster: dict[str, list[str]] = {}
    for name in ours:
        by_cluster.setdefault(str(int(name.partition("~")[2] or name.partition("~")[0])), []).append(name)
    clusters = Counter(
        tuple(any(side[name] == KEPT for name in names) for side in (ours, peer)) for names in by_cluster.values()
    )
    copies = [name for name in ours if "~" in name]
    return {
        "documents": len(ours),
        "kept": {"ours": sum(one == KEPT for one in ours.values()), "peer": sum(one == KEPT for one in peer.values())},
        "removed_as_near_duplicates": {"ours": sum(map(_near, ours.values())), "peer": sum(map(_near, peer.values()))},
        "copies": len(copies),
        "clusters_left": {
            "both": clusters[True, True],
            "ours alone": clusters[True, False],
            "peer alone": clusters[False, True],
            "neither": clusters[False, False],
        },
        "differences": [
            {"ours": one, "peer": other, "documents": count}
            for (one, other), count in pairs.most_common()
            if (one == KEPT) != (other == KEPT)
        ],
    }


def main(
    n: Annotated[int, typer.Option("--documents", min=1, help="How many documents.")] = 20_000,
    output: Annotated[Path, typer.Option(help="File that gets the counts.")] = Path("runs/bench/data_kept.json"),
) -> None:
    """Compare what Burnish and datatrove keep."""
    from burnish.files import atomic_write_text

    with tempfile.TemporaryDirectory(prefix="burnish-kept-") as place:
        work = Path(place)
        documents.write(work / "documents", n_documents=n)
        ours = outcomes(work / "documents", work / "ours")
        found = {
            name: compared(ours, outcomes_of_peer(work / "documents", work / name, plain_words=plain))
            for name, plain in (("plain_words", True), ("own_words", False))
        }
    for name, one in found.items():
        print(f"{name}: kept {one['kept']}, clusters left {one['clusters_left']}")
        for row in one["differences"][:15]:
            print(f"  {row['documents']:>6}  ours {row['ours']}  peer {row['peer']}")
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(output, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
