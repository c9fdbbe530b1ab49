"""Guessed tokens, verified several in a step, beside the same engine without.

    python -m benchmarks.speculative prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides are Burnish and answer greedily; guesses are what stood behind the newest tokens before. Where answers
repeat their prompt, it is a passage and its beginning again, which the model goes on to copy; where they do not, it is
an instruction.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, worker
from benchmarks.row import Config, Row, Target

_COMMON: dict[str, Any] = {
    "module": "benchmarks.speculative",
    "peer": "the same, one token a step",
    "unit": "tokens/s",
    "axes": {"compute_dtype": ("float32",)},
    "check": {"compute_dtype": "float32", "new_tokens": 16},
    "quick": {"new_tokens": 8, "passage_tokens": 64},
}


def _row(name: str, work: str, target: float, repeats: bool, streams: int) -> Row:
    parameters = {"repeats": repeats, "streams": streams, "new_tokens": 96, "passage_tokens": 192}
    return Row(name=name, work=work, target=Target(ratio=target), parameters=parameters, **_COMMON)


ROWS = (
    _row("speculative", "one answer that repeats its prompt, 96 tokens", 2, True, 1),
    _row("speculative_b8", "8 answers at once that repeat their prompts, 96 tokens each", 1.5, True, 8),
    _row("speculative_new", "one answer that does not repeat its prompt, 96 tokens", 0.9, False, 1),
    _row("speculative_new_b8", "8 answers at once that do not, 96 tokens each", 0.9, False, 8),
)

_BEGINNING = 24


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    n = config["streams"]
    if config["repeats"]:
        passages = material.wiki_prompts(tokenizer, n=n, length=config["passage_tokens"])
        prompts = [[*passage, *passage[:_BEGINNING]] for passage in passages]
    else:
        prompts = material.alpaca_prompts(tokenizer)[:n]
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32"),
        "work": material.write_work(folder, prompts),
    }


def ours(config: Config) -> Config:
    return _measured(config, speculates=True)


def peer(config: Config) -> Config:
    return _measured(config, speculates=False)


def _measured(config: Config, *, speculates: bool) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish
    from burnish.generation.drafts import LookUp, Speculation
    from burnish.generation.engine import Engine
    from burnish.generation.request import Request
    from burnish.generation.sampling import Sampling

    decoder, _ = burnish.load(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "float32"), device="cpu"
    )
    prompts = material.read_work(config["work"])

    def run(new_tokens: int) -> tuple[list[list[int]], Engine]:
        engine = Engine(decoder, speculation=Speculation(drafter=LookUp()) if speculates else None)
        sampling = Sampling(temperature=0, max_new_tokens=new_tokens)
        found = engine.run([Request(prompt=prompt, sampling=sampling) for prompt in prompts])
        return [one.tokens for one in found], engine

    run(4)
    watch = worker.Stopwatch()
    watch.start()
    tokens, engine = run(config["new_tokens"])
    watch.stop()
    guessed, right = engine.guesses
    return watch.answer(sum(map(len, tokens))) | {
        "evidence": {"greedy_tokens": tokens},
        "configuration": {"guessed": guessed, "right": right},
    }


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
