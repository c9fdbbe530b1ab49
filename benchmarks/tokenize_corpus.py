"""Documents to the token arrays of a corpus, beside the batches of Hugging Face's tokenizers alone.

    python -m benchmarks.tokenize_corpus prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Real web pages and encyclopaedia articles, each followed by a number of its own so that none is there twice. Burnish
adds the token that ends a text, keeps each text's tokens as an array, and takes control tokens in the text for the
plain text that they look like; the peer returns its encodings' ids. Both use all threads that they are given.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import material, worker
from benchmarks.row import Config, Row, Target

if TYPE_CHECKING:
    from burnish.text.tokenizer import Tokenizer

ROWS = (
    Row(
        name="tokenize",
        work="web pages and articles to tokens",
        module="benchmarks.tokenize_corpus",
        peer="tokenizers encode_batch",
        unit="tokens/s",
        target=Target(ratio=0.9),
        parameters={"copies": 20},
        quick={"copies": 1},
        search={"copies": 4},
        axes={"batch": (256, 1024, 8192), "offsets": (False, True)},
        check={"copies": 1},
        packages=("tokenizers",),
    ),
)


def prepare(config: Config) -> Config:
    _, tokenizer = material.load_model()
    folder = Path(config["folder"]) / "tokenizer"
    folder.mkdir(parents=True)
    tokenizer.save(folder, stops=True)
    pages = [json.loads(line)["text"] for line in material.shared_file("c4_demo.jsonl").read_text().splitlines()]
    articles = material.shared_file("wiki_demo.txt").read_text(encoding="utf-8").split("\n\n")
    texts = [text for text in (*pages, *articles) if text.strip()]
    return {"tokenizer": str(folder), "texts": material.write_work(Path(config["folder"]), texts)}


def ours(config: Config) -> Config:
    _threads(config)
    from burnish.corpus.text_tokens import tokenized

    texts = _texts(config)
    tokenizer = _load(config)
    tokenized(["warm up"], tokenizer)
    watch = worker.Stopwatch()
    watch.start()
    arrays = tokenized(texts, tokenizer)
    watch.stop()
    count = sum(map(len, arrays)) - len(texts)  # without the ends
    return watch.answer(count) | {"evidence": {"tokens": count}}


def peer(config: Config) -> Config:
    _threads(config)
    from tokenizers import Tokenizer as Backend

    texts = _texts(config)
    backend = Backend.from_file(str(Path(config["tokenizer"]) / "tokenizer.json"))
    backend.encode("warm up")
    encode = backend.encode_batch if config["offsets"] else backend.encode_batch_fast
    watch = worker.Stopwatch()
    watch.start()
    found = [
        encoding.ids
        for start in range(0, len(texts), config["batch"])
        for encoding in encode(texts[start : start + config["batch"]], add_special_tokens=False)
    ]
    watch.stop()
    count = sum(map(len, found))
    return watch.answer(count) | {"evidence": {"tokens": count}}


def _texts(config: Config) -> list[str]:
    texts: list[str] = material.read_work(config["texts"])
    return [f"{text} {copy}" for copy in range(config["copies"]) for text in texts]


def _load(config: Config) -> "Tokenizer":
    from burnish.text.tokenizer import Tokenizer

    return Tokenizer.from_folder(config["tokenizer"])


def _threads(config: Config) -> None:
    """Both sides' threads are those of the library, which reads this once."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(config["threads"])


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
