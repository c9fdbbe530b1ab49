"""The first token of prompts that begin alike: keys and values of the beginning kept, beside the same engine without.

    python -m benchmarks.prefix prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides are Burnish. Ours has answered one prompt with the same beginning before; the other computes each whole.
"""

from pathlib import Path

from benchmarks import material, worker
from benchmarks.row import Config, Row, Target

ROWS = (
    Row(
        name="warm_prefix",
        work="the first token of prompts that differ in 16 tokens behind 2,500 that are alike",
        module="benchmarks.prefix",
        peer="the same, cold",
        unit="prompts/s",
        target=Target(ratio=10),
        parameters={"prefix_tokens": 2500, "n_prompts": 4},
        axes={"compute_dtype": ("float32",)},
        check={"compute_dtype": "float32", "n_prompts": 2},
        quick={"prefix_tokens": 64, "n_prompts": 2},
    ),
)

_QUESTION_TOKENS = 16


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    n = config["n_prompts"]
    (prefix,) = material.wiki_prompts(tokenizer, n=1, length=config["prefix_tokens"])
    questions = material.wiki_prompts(tokenizer, n=n + 1, length=_QUESTION_TOKENS)
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32"),
        "work": material.write_work(folder, [[*prefix, *question] for question in questions]),
    }


def ours(config: Config) -> Config:
    return _measured(config, cache_bytes=2**30)


def peer(config: Config) -> Config:
    return _measured(config, cache_bytes=0)


def _measured(config: Config, *, cache_bytes: int) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish
    from burnish.generation.engine import Engine
    from burnish.generation.request import Request
    from burnish.generation.sampling import Sampling

    decoder, _ = burnish.load(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "float32"), device="cpu"
    )
    engine = Engine(decoder, cache_bytes=cache_bytes)
    first = Sampling(temperature=0, max_new_tokens=1)
    before, *prompts = material.read_work(config["work"])
    engine.run([Request(prompt=before, sampling=first)])
    watch = worker.Stopwatch()
    watch.start()
    tokens = [engine.run([Request(prompt=prompt, sampling=first)])[0].tokens for prompt in prompts]
    watch.stop()
    return watch.answer(len(prompts)) | {"evidence": {"greedy_tokens": tokens}, "configuration": {}}


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
