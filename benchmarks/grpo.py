"""Steps of group relative policy optimization, beside TRL's GRPOTrainer.

    python -m benchmarks.grpo prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

A step is all of it: the completions of its prompts are sampled by the policy as it is, exactly so many tokens each
(neither side stops earlier); a cheap function rewards them; the reference, a frozen copy of the model on both
sides, scores their tokens; one update of all weights follows. The first steps are not timed.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, our_rollouts, our_training, worker
from benchmarks.row import Config, Row, Target

_COMMON: dict[str, Any] = {
    "module": "benchmarks.grpo",
    "peer": "TRL GRPOTrainer",
    "unit": "completions/s",
    "check": {"compute_dtype": "float32", "precision": "float32", "warm_up_steps": 1, "timed_steps": 0},
    "search": {"timed_steps": 1},
    "packages": ("trl", "transformers", "accelerate", "datasets"),
}
_AXES: dict[str, Any] = {"precision": ("float32", "bfloat16"), "micro_batches": (4, 8)}
_SIZES: dict[str, Any] = {
    "prompts": 4,
    "samples": 8,
    "new_tokens": 64,
    "updates": 1,
    "warm_up_steps": 2,
    "timed_steps": 2,
    "fixed": False,
    "beta": 0.04,
}
"""fixed: the completions are given, for a comparison of losses (`benchmarks.curves`). updates: of each rollout.
beta: of the divergence from the reference; at 0 there is none on either side."""

ROWS = (
    Row(
        name="grpo",
        work="steps of GRPO: 8 samples of 64 tokens for each of 4 GSM8K questions, rewards, the reference's "
        "log-probabilities (beta 0.04), an update",
        target=Target(ratio=4, peak_rss_ratio=0.5),
        parameters={"prompt_tokens": None, **_SIZES},
        quick={"prompts": 1, "samples": 4, "new_tokens": 16, "timed_steps": 1},
        axes=_AXES | {"keep_freed_memory": (True, False)},
        **_COMMON,
    ),
    Row(
        name="grpo_long_prompt",
        work="the same with prompts of 512 tokens of Wikipedia",
        target=Target(ratio=8),
        parameters={"prompt_tokens": 512, **_SIZES, "warm_up_steps": 1, "timed_steps": 1},
        quick={"prompt_tokens": 128, "prompts": 1, "samples": 4, "new_tokens": 16, "timed_steps": 1},
        axes=_AXES | {"keep_freed_memory": (True,)},  # a step of TRL takes minutes here, so one setting less
        **_COMMON,
    ),
    Row(
        name="grpo_short",
        work="the same in the shape of `burnish lab reasoning --experiment smollm2`: 8 samples of 8 tokens for each of "
        "6 prompts of 60 tokens, no reference",
        target=Target(ratio=3),
        parameters={"prompt_tokens": 60, **_SIZES, "prompts": 6, "new_tokens": 8, "beta": 0.0},
        quick={"prompts": 2, "samples": 4, "new_tokens": 4, "timed_steps": 1},
        axes=_AXES | {"keep_freed_memory": (True, False)},
        **_COMMON,
    ),
)


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    n = config["prompts"] * our_training.n_steps(config)
    if config["prompt_tokens"] is None:
        prompts = material.gsm8k_prompts(tokenizer, n=n)
    else:
        prompts = material.wiki_prompts(tokenizer, n=n, length=config["prompt_tokens"])
    fixed = our_rollouts.completions(decoder, prompts, config, ragged=True) if config["fixed"] else []
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32"),
        "work": material.write_work(folder, [prompts, fixed]),
    }


def ours(config: Config) -> Config:
    decoder, tokenizer = our_training.load(config)
    from burnish.methods import grpo

    training = our_training.settings(config, batch_size=config["prompts"])
    # The loss is the mean over the tokens of the step (`dapo`), TRL's default.
    settings = grpo.Settings(
        beta=config["beta"],
        num_generations=config["samples"],
        num_iterations=config["updates"],
        rollouts=our_training.n_steps(config),
        max_new_tokens=config["new_tokens"],
        training=training,
    )
    prompts, fixed = _work(config)
    work = our_rollouts.sampled_work(tokenizer, prompts, fixed=bool(fixed))
    with our_rollouts.given(prompts, fixed):
        watch, history = our_training.train(
            config, decoder, grpo.learn, decoder, work, settings, updates=config["updates"]
        )
    return _answer(config, watch, history) | {"configuration": our_training.configuration(decoder, training)}


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    from transformers import AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()
    prompts, fixed = _work(config)

    def given(numbers: list[int]) -> Any:
        return [one for number in numbers[:: config["samples"]] for one in fixed[number]], None

    model = config["models"]["float32"]
    clock = trl_training.Clock(config)
    sizes = trl_training.micro_batches(config["prompts"] * config["samples"], config)
    trainer = trl_training.of_token_ids(GRPOTrainer, prompts, given if fixed else None)(
        model=model,
        args=GRPOConfig(
            **trl_training.arguments(config),
            **sizes,
            num_generations=config["samples"],
            max_completion_length=config["new_tokens"],
            generation_kwargs={"min_new_tokens": config["new_tokens"]},
            temperature=1.0,
            beta=config["beta"],
            use_bias_correction_kl=False,  # equation 3 of the GRPO paper, as on our side
            num_iterations=config["updates"],
            shuffle_dataset=False,
        ),
        processing_class=AutoTokenizer.from_pretrained(model),
        reward_funcs=lambda completion_ids, **_: our_rollouts.odd_share(completion_ids),
        train_dataset=trl_training.numbers_of(prompts),
        callbacks=[clock],
    )
    trainer.args.max_steps = our_training.n_steps(config) * config["updates"]
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {"configuration": sizes | trl_training.configuration(trainer)}


def _work(config: Config) -> tuple[list[list[int]], list[list[list[int]]]]:
    """The prompts of the first steps and of the timed ones, in order, and their completions where they are given."""
    prompts, fixed = material.read_work(config["work"])
    return prompts[: config["prompts"] * our_training.n_steps(config)], fixed


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    lengths = ("completions/min_length", "completions/max_length")
    return watch.answer(config["timed_steps"] * config["prompts"] * config["samples"]) | {
        "losses": [step["loss"] for step in history],
        "kl": [step.get("kl", 0.0) for step in history],
        "evidence": {name: [int(step[name]) for step in history[:: config["updates"]]] for name in lengths},
    }


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
