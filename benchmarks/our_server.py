"""Burnish's server in a process of its own, with the number format that a row asks for.

    python -m benchmarks.our_server '{"model": "runs/flights", "threads": 2, "rows": 32, "compute_dtype": "auto"}'

Prints what `burnish serve` prints: where it is, as soon as it listens.
"""

import json
import sys

from benchmarks import worker


def main() -> None:
    config = json.loads(sys.argv[1])
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish
    from burnish.serving.api.served import Served
    from burnish.serving.api.server import serve
    from burnish.serving.api.settings import Limits, ServerSettings

    decoder, tokenizer = burnish.load(config["model"], compute_dtype=config["compute_dtype"], device="cpu")
    limits = Limits(rows=config["rows"], queue=config.get("queue", 128))
    settings = ServerSettings(name="model", port=0, page=False, limits=limits)
    serve(Served(decoder, tokenizer, settings), lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
