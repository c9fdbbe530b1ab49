"""Steps of on-policy distillation, beside TRL's DistillationTrainer.

    python -m benchmarks.distill prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

A step is all of it: the student writes an answer of exactly so many tokens to each prompt (neither side stops earlier),
the teacher's distributions are compared with its own over the whole vocabulary (reverse KL, TRL's default), and all
weights are updated. The teacher has the student's shape and weights of its own. The first steps are not timed. For the
check both sides are given the same answers of different lengths.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, our_rollouts, our_training, worker
from benchmarks.row import Config, Row, Target

ROWS = (
    Row(
        name="distill",
        work="steps of on-policy distillation from a teacher of the same size: an answer of 64 tokens to each of "
        "8 GSM8K questions, reverse KL over the vocabulary, an update",
        module="benchmarks.distill",
        peer="TRL DistillationTrainer",
        unit="tokens/s",
        target=Target(ratio=2),
        parameters={"prompts": 8, "new_tokens": 64, "warm_up_steps": 1, "timed_steps": 2, "fixed": False},
        quick={"prompts": 2, "new_tokens": 16, "timed_steps": 1},
        search={"timed_steps": 1},
        axes={"precision": ("float32", "bfloat16"), "micro_batches": (1, 2), "keep_freed_memory": (True, False)},
        check={
            "compute_dtype": "float32",
            "precision": "float32",
            "micro_batches": 1,  # the peer's entropy is the mean of its parts' means, whatever they hold
            "warm_up_steps": 1,
            "timed_steps": 0,
            "fixed": True,
        },
        tolerance=1e-4,
        packages=("trl", "transformers", "accelerate", "datasets"),
    ),
)
_NOISE = 0.05
"""By how much of its deviation each of the teacher's matrices differs from the student's."""


def prepare(config: Config) -> Config:
    import torch

    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    prompts = material.gsm8k_prompts(tokenizer, n=config["prompts"] * our_training.n_steps(config))
    checked = our_rollouts.completions(decoder, prompts[: config["prompts"]], config | {"samples": 1}, ragged=False)
    fixed = [[group[0][: len(group[0]) - number % 8]] for number, group in enumerate(checked)]
    models = material.save_folders(decoder, tokenizer, folder, "float32")
    draw = torch.Generator().manual_seed(0)
    for matrix in decoder.parameters():
        if matrix.dim() > 1:
            matrix.data.add_(_NOISE * matrix.std() * torch.randn(matrix.shape, generator=draw))
    teacher = material.save_folders(decoder, tokenizer, folder / "teacher", "float32")
    return {"models": models, "teacher": teacher["float32"], "work": material.write_work(folder, [prompts, fixed])}


def ours(config: Config) -> Config:
    decoder, tokenizer = our_training.load(config)
    from dataclasses import replace

    from burnish.datasets.rows import Task
    from burnish.datasets.taught import TaughtExample
    from burnish.methods import distill
    from burnish.methods.teachers import Teacher

    teacher, _ = our_training.load(config | {"models": {"float32": config["teacher"]}})
    training = our_training.settings(config, batch_size=config["prompts"])
    settings = distill.Settings(beta=1.0, lmbda=1.0, max_new_tokens=config["new_tokens"], training=training)
    prompts, fixed = _work(config)
    examples = [TaughtExample(Task([], {}), prompt, []) for prompt in our_training.in_order(prompts)]
    endless = replace(tokenizer, stop_ids=frozenset())
    with our_rollouts.given(prompts, fixed):
        watch, history = our_training.train(
            config, decoder, distill.learn, decoder, endless, Teacher(decoder, teacher), examples, settings
        )
    return _answer(config, watch, history) | {"configuration": our_training.configuration(decoder, training)}


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    from transformers import AutoTokenizer
    from trl import DistillationConfig, DistillationTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()
    prompts, fixed = _work(config)

    def given(numbers: list[int]) -> Any:
        return [fixed[number][0] for number in numbers]

    model = config["models"]["float32"]
    clock = trl_training.Clock(config)
    sizes = trl_training.micro_batches(config["prompts"], config)
    trainer = trl_training.of_token_ids(DistillationTrainer, prompts, given if fixed else None)(
        model=model,
        teacher_model=config["teacher"],
        args=DistillationConfig(
            **trl_training.arguments(config),
            **sizes,
            teacher_model_init_kwargs=dict(trl_training.MODEL),
            beta=1.0,
            max_completion_length=config["new_tokens"],
            generation_kwargs={"min_new_tokens": config["new_tokens"]},
            shuffle_dataset=False,
        ),
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
        train_dataset=trl_training.numbers_of(prompts),
        callbacks=[clock],
    )
    trainer.args.max_steps = our_training.n_steps(config)
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {"configuration": sizes | trl_training.configuration(trainer)}


def _work(config: Config) -> tuple[list[list[int]], list[list[list[int]]]]:
    """The prompts of the first steps and of the timed ones, in order, and for the check the answers to the first."""
    prompts, fixed = material.read_work(config["work"])
    return prompts[: config["prompts"] * our_training.n_steps(config)], fixed if config["fixed"] else []


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    first = history[0]
    return watch.answer(config["timed_steps"] * config["prompts"] * config["new_tokens"]) | {
        "losses": [step["loss"] for step in history],
        "evidence": {
            "loss_first_step": float(first["loss"]),
            "entropy_first_step": float(first["entropy"]),
            "mean_length": int(8 * first["completions/mean_length"]),
        },
    }


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
