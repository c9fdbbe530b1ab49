"""The steps of `benchmarks.data` in datatrove, which lies in an environment of its own."""

import re
from pathlib import Path
from typing import Any

from benchmarks import peers

BESIDE = ("spacy", "xxhash<4", "fasteners", "orjson", "tldextract", "regex")


def run(folder: Path, output: Path, *, tasks: int, plain_words: bool, bands: int) -> None:
    """Take documents through the steps: `output/documents` has what is kept, `output/removed` the rest by step."""
    peers.put_first(peers.DATATROVE, *BESIDE)
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from datatrove.utils.typeshelper import Languages

    language: Any = _plain_words() if plain_words else Languages.english
    config = MinhashConfig(n_grams=5, num_buckets=bands, hashes_per_bucket=8, hash_config=HashConfig(precision=64))
    work = output / "work"

    def writer(name: str) -> Any:
        return JsonlWriter(str(output / name), compression=None)

    def execute(name: str, pipeline: list[Any], n: int) -> None:
        LocalPipelineExecutor(
            pipeline=pipeline, tasks=n, workers=min(n, tasks), logging_dir=str(output / "logs" / name)
        ).run()

    execute(
        "filters",
        [
            JsonlReader(str(folder)),
            GopherQualityFilter(exclusion_writer=writer("removed/gopher_quality"), language=language),
            GopherRepetitionFilter(exclusion_writer=writer("removed/gopher_repetition"), language=language),
            C4QualityFilter(exclusion_writer=writer("removed/c4_quality"), language=language),
            writer("filtered"),
        ],
        tasks,
    )
    filtered = str(output / "filtered")
    signatures, buckets, clusters = (str(work / name) for name in ("signatures", "buckets", "clusters"))
    execute("signatures", [JsonlReader(filtered), MinhashDedupSignature(signatures, config, language=language)], tasks)
    execute("buckets", [MinhashDedupBuckets(signatures, buckets, config=config)], bands)
    execute("clusters", [MinhashDedupCluster(buckets, clusters, config=config)], 1)
    execute(
        "kept",
        [
            JsonlReader(filtered),
            MinhashDedupFilter(clusters, exclusion_writer=writer("removed/minhash")),
            writer("documents"),
        ],
        tasks,
    )


def _plain_words() -> Any:
    """datatrove's interface over Burnish's idea of words and sentences."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class PlainWords(WordTokenizer):
        """Words are what lies between white space; sentences end at `.`, `?` or `!` before it."""

        def word_tokenize(self, text: str) -> list[str]:
            return text.split()

        def sent_tokenize(self, text: str) -> list[str]:
            return [text[start:end] for start, end in self.span_tokenize(text)]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            ends = [found.end() for found in re.finditer(r"""[.?!]["')\]]*(?:\s+|$)""", text)]
            return list(zip([0, *ends[:-1]], ends, strict=True)) if ends else [(0, len(text))]

    return PlainWords()
