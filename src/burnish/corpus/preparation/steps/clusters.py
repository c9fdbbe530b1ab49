"""Which of many texts are alike: texts that share a key are joined, also through others, and of each cluster one stays.

A text's keys are numbers or hashes: of all of it for exact duplicates, of bands of its signature for near ones.

Notable choices:
- keys are compared in parts, by a hash, and strings are read of those texts alone that are like another: memory holds
  some millions of keys and what the clusters are, whatever the number of documents;
- what stays depends on the documents alone: of the earliest source, the smallest id.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

MAX_KEYS = 4 << 20
"""Keys that are compared at once."""
NODES_OF_DOCUMENT = 1 << 24
"""A node is a text: the number of its document times this, and its own number there."""
_RANK = ("source_number", "id", "origin", "shard", "row", "unit")


def duplicates(signatures: pl.LazyFrame) -> pl.DataFrame:
    """The texts that go, each with the document of the one that stays.

    signatures: documents with `units`, for each text of the document its keys, and with `shard`, `row`, `id`, `origin`,
        `source_number`, in no order. A null key, or none, is like nothing.
    Returns `shard`, `row`, `unit` (number of the text in its document), `kept` and `member`, ids of documents.
    """
    numbered = signatures.with_row_index("document")
    units = (
        numbered.select("document", "units")
        .with_columns(unit=pl.int_ranges(pl.col("units").list.len()))
        .explode("units", "unit")
    )
    node = pl.col("document").cast(pl.UInt64) * NODES_OF_DOCUMENT + pl.col("unit").cast(pl.UInt64)
    keys = units.select(node=node, key="units").explode("key").drop_nulls()
    return of_edges(numbered, edges(keys))


def edges(keys: pl.LazyFrame) -> pl.DataFrame:
    """Pairs `first`, `other` of the nodes that share a key, `first` the smallest of them. keys: `node` and `key`."""
    n_keys = keys.select(pl.len()).collect(engine="streaming").item()
    n_parts = -(-n_keys // MAX_KEYS)
    found = []
    for part in range(n_parts):
        mine = keys.filter(pl.col("key").hash(seed=1) % n_parts == part).collect(engine="streaming")
        found.append(
            mine.with_columns(first=pl.col("node").min().over("key"))
            .filter(pl.col("first") != pl.col("node"))
            .select("first", other="node")
            .unique()
        )
    return pl.concat(found).unique() if found else pl.DataFrame(schema={"first": pl.UInt64, "other": pl.UInt64})


def of_edges(numbered: pl.LazyFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """What goes of the clusters that pairs of nodes make. numbered: `signatures` with the number of the `document`."""
    nodes, dense = np.unique(
        np.concatenate([pairs["first"].to_numpy(), pairs["other"].to_numpy()]), return_inverse=True
    )
    root = components(len(nodes), dense[: pairs.height], dense[pairs.height :])
    members = pl.DataFrame({"node": nodes.astype(np.uint64), "root": root}).with_columns(
        document=(pl.col("node") // NODES_OF_DOCUMENT).cast(pl.UInt32), unit=pl.col("node") % NODES_OF_DOCUMENT
    )
    named = (
        numbered.select("document", "source_number", "id", "origin", "shard", "row")
        .join(members.lazy().select("document").unique(), on="document", how="semi")
        .collect(engine="streaming")
    )
    ranked = members.join(named, on="document").sort(*_RANK)
    return (
        ranked.with_columns(kept=pl.col("id").first().over("root"), place=pl.int_range(pl.len()).over("root"))
        .filter(pl.col("place") > 0)
        .select("shard", "row", pl.col("unit").cast(pl.Int64), "kept", member="id")
    )


def components(n: int, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest member of each node's connected component, `[n]`, of a graph with edges first[i] to second[i]."""
    root = np.arange(n)
    while True:
        before = root.copy()
        smallest = np.minimum(root[first], root[second])
        np.minimum.at(root, first, smallest)
        np.minimum.at(root, second, smallest)
        root = root[root]
        if np.array_equal(root, before):
            return root


def decisions(gone: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    """What is to be done with each document of which texts go: `drop` has their numbers.

    detail: with a place for the document that stays.
    """
    return (
        gone.group_by("shard", "row")
        .agg(pl.col("unit").sort().alias("drop"), pl.col("kept").sort(), pl.col("member"))
        .with_columns(reason=pl.lit(reason), detail=pl.format(detail, pl.col("kept").list.first()))
    )
