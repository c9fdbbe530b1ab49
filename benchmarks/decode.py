"""Sampling many sequences side by side, beside transformers' `generate`.

    python -m benchmarks.decode prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides choose from the whole vocabulary at temperature 1 and know no stop token, so each row gets exactly
`new_tokens`. The time of the prompts is part of the measured time, loading is not.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, worker
from benchmarks.row import Config, Row, Target

_COMMON: dict[str, Any] = {
    "module": "benchmarks.decode",
    "peer": "transformers.generate",
    "unit": "tokens/s",
    "axes": {"dtype": ("bfloat16", "float32"), "keep_freed_memory": (False, True)},
    "check": {"compute_dtype": "float32", "dtype": "float32", "temperature": 0.0, "samples": 1, "new_tokens": 8},
    "quick": {"new_tokens": 4, "n_prompts": 2, "prompt_tokens": 64},
    "packages": ("transformers",),
}

ROWS = (
    Row(
        name="decode_b64",
        work="64 sequences of 64 new tokens after real instructions, temperature 1",
        target=Target(ratio=3),
        parameters={"prompts": "alpaca", "n_prompts": 64, "samples": 1, "new_tokens": 64},
        **_COMMON,
    ),
    Row(
        name="decode_shared_prompt",
        work="8 samples of 64 new tokens for each of 8 prompts of 512 tokens, temperature 1",
        target=Target(ratio=6),
        parameters={"prompts": "wiki", "n_prompts": 8, "prompt_tokens": 512, "samples": 8, "new_tokens": 64},
        **_COMMON,
    ),
    Row(
        name="sample_8x64",
        work="64 samples of 64 new tokens for each of 8 GSM8K questions, temperature 1",
        target=Target(ratio=6),
        parameters={"prompts": "gsm8k", "n_prompts": 8, "samples": 64, "new_tokens": 64},
        **_COMMON
        | {
            # 512 rows at once may be more than its caches take well: it may also go through the questions in parts.
            "axes": _COMMON["axes"] | {"prompts_at_once": (8, 2)},
            "quick": {"new_tokens": 4, "n_prompts": 2, "samples": 4},
        },
    ),
)

_WARM_UP = {"n_prompts": 2, "new_tokens": 4}


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    n = config["n_prompts"]
    if config["prompts"] == "alpaca":
        prompts = material.alpaca_prompts(tokenizer)[:n]
    elif config["prompts"] == "gsm8k":
        prompts = material.gsm8k_prompts(tokenizer, n=n)
    else:
        prompts = material.wiki_prompts(tokenizer, n=n, length=config["prompt_tokens"])
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32", "bfloat16"),
        "work": material.write_work(folder, prompts),
    }


def ours(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    import burnish
    from burnish.generation.engine import generate
    from burnish.generation.sampling import Sampling

    decoder, _ = burnish.load(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu"
    )

    def run(prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        sampling = Sampling(temperature=config.get("temperature", 1.0), max_new_tokens=new_tokens, stop=frozenset())
        return [
            completion.tokens
            for completions in generate(decoder, prompts, sampling, n=config["samples"])
            for completion in completions
        ]

    prompts = material.read_work(config["work"])
    run(prompts[: _WARM_UP["n_prompts"]], _WARM_UP["new_tokens"])
    watch = worker.Stopwatch()
    watch.start()
    rows = run(prompts, config["new_tokens"])
    watch.stop()
    return _answer(config, watch, rows) | {
        "configuration": {"compute_dtype": str(decoder.compute_dtype).removeprefix("torch.")}
    }


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = AutoModelForCausalLM.from_pretrained(config["models"][config["dtype"]], dtype=config["dtype"]).eval()
    temperature = config.get("temperature", 1.0)
    choice = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}

    def run(prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        longest = max(len(prompt) for prompt in prompts)
        padding = [longest - len(prompt) for prompt in prompts]
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([[0] * n + prompt for n, prompt in zip(padding, prompts, strict=True)]),
                attention_mask=torch.tensor([[0] * n + [1] * (longest - n) for n in padding]),
                # No stop token at all, as on the other side; `min_new_tokens` would add a pass over the logits.
                generation_config=GenerationConfig(
                    max_new_tokens=new_tokens,
                    num_return_sequences=config["samples"],
                    pad_token_id=0,
                    eos_token_id=None,
                    **choice,
                ),
            )
        return [row[longest:] for row in out.tolist()]

    model.generation_config.eos_token_id = None
    prompts = material.read_work(config["work"])
    run(prompts[: _WARM_UP["n_prompts"]], _WARM_UP["new_tokens"])
    at_once = config.get("prompts_at_once", len(prompts))
    watch = worker.Stopwatch()
    watch.start()
    parts = [run(prompts[i : i + at_once], config["new_tokens"]) for i in range(0, len(prompts), at_once)]
    rows = [row for part in parts for row in part]
    watch.stop()
    return _answer(config, watch, rows) | {"configuration": {"attention": model.config._attn_implementation}}


def _answer(config: Config, watch: worker.Stopwatch, rows: list[list[int]]) -> Config:
    """The rate in new tokens a second; every row must have its full length."""
    assert [len(row) for row in rows] == [config["new_tokens"]] * config["n_prompts"] * config["samples"]
    greedy = {"evidence": {"greedy_tokens": rows}} if config.get("temperature") == 0 else {}
    return watch.answer(sum(len(row) for row in rows)) | greedy


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
