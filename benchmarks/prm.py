"""Steps of a process reward model, beside TRL's PRMTrainer.

    python -m benchmarks.prm prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Several answers to each of some questions, as rollouts make them: the solution of GSM8K, whose steps are right, and
those of the questions after it, whose steps are wrong. All weights train, and a head of two labels, which begins with
the same numbers. Both sides get the same token ids, labels and order; tokens count as whole sequences, without padding.
The first steps are not timed. TRL dropped its PRMTrainer after 1.12, so the peer is the last release with one.

What both compute is checked with one micro-batch: transformers adds the means of several instead of averaging them,
since token classifiers take, and do not read, the count that its trainer gives them.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, our_training, peers, worker
from benchmarks.row import Config, Row, Target

ROWS = (
    Row(
        name="prm",
        work="steps of a process reward model on 4 answers of GSM8K to each of 2 questions",
        module="benchmarks.prm",
        peer="TRL 1.12 PRMTrainer",
        unit="tokens/s",
        target=Target(ratio=2),
        parameters={"questions": 2, "answers": 4, "warm_up_steps": 2, "timed_steps": 3},
        quick={"questions": 1, "answers": 2, "warm_up_steps": 1, "timed_steps": 1},
        search={"timed_steps": 1},
        axes={"precision": ("float32", "bfloat16"), "micro_batches": (1, 2), "keep_freed_memory": (True, False)},
        check={
            "compute_dtype": "float32",
            "precision": "float32",
            "micro_batches": 1,
            "warm_up_steps": 1,
            "timed_steps": 0,
        },
        packages=("transformers", "accelerate", "datasets"),
    ),
)


def prepare(config: Config) -> Config:
    from burnish.checkpoints import save_process_reward_model
    from burnish.nn.process_reward import ProcessRewardModel

    decoder, tokenizer = material.load_model()
    folder = Path(config["folder"])
    model = folder / "process_reward_model"
    save_process_reward_model(ProcessRewardModel(decoder, seed=0), tokenizer, model)
    return {"models": {"float32": str(model)}, "work": material.write_work(folder, _work(config, tokenizer))}


def ours(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    from burnish.checkpoints import load_process_reward_model
    from burnish.datasets.token_labels import LabelledSequence
    from burnish.methods import process_reward_model

    model, _ = load_process_reward_model(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu"
    )
    questions = [[LabelledSequence(**one) for one in answers] for answers in _read(config)]
    examples = [one for answers in our_training.in_order(questions) for one in answers]
    training = our_training.settings(config, batch_size=config["questions"] * config["answers"])
    settings = process_reward_model.Settings(training=training)
    watch, history = our_training.train(config, model, process_reward_model.learn, model, examples, settings)
    return _answer(config, watch, history) | {"configuration": our_training.configuration(model.decoder, training)}


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    peers.put_first(peers.OLDER_TRL)
    from transformers import AutoModelForTokenClassification, AutoTokenizer
    from trl.experimental.prm import PRMConfig, PRMTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()
    folder = config["models"]["float32"]
    clock = trl_training.Clock(config)
    arguments = trl_training.arguments(config)
    del arguments["model_init_kwargs"]
    sizes = trl_training.micro_batches(config["questions"] * config["answers"], config)
    trainer = PRMTrainer(
        model=AutoModelForTokenClassification.from_pretrained(folder, **trl_training.MODEL),
        args=PRMConfig(**arguments, **sizes, max_length=None, max_steps=our_training.n_steps(config)),
        processing_class=AutoTokenizer.from_pretrained(folder),
        train_dataset=datasets.Dataset.from_list(
            [
                {"input_ids": one["tokens"], "labels": _padded_labels(one)}
                for answers in _read(config)
                for one in answers
            ]
        ),
        callbacks=[clock],
    )
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {"configuration": sizes | trl_training.configuration(trainer)}


def _work(config: Config, tokenizer: Any) -> list[list[dict[str, Any]]]:
    """Of each question its answers, as the arguments of a `LabelledSequence`."""
    from burnish.text.chat import encode_prompt
    from burnish.text.steps import encode_steps

    n = config["questions"] * our_training.n_steps(config)
    solutions = material.gsm8k_solutions(n=n + config["answers"])
    work = []
    for number, (question, _) in enumerate(solutions[:n]):
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": question}])
        answers = []
        for place in range(config["answers"]):
            own, ends = encode_steps(tokenizer, solutions[number + place][1], "\n")
            tokens = prompt + own
            mask = [False] * len(prompt) + [token in set(ends) for token in range(len(own))]
            labels = [float(place == 0)] * len(ends)
            answers.append({"tokens": tokens, "mask": mask, "labels": labels, "n_prompt": len(prompt)})
        work.append(answers)
    return work


def _read(config: Config) -> list[list[dict[str, Any]]]:
    """The questions of the first steps and of the timed ones."""
    work: list[list[dict[str, Any]]] = material.read_work(config["work"])
    return work[: config["questions"] * our_training.n_steps(config)]


def _padded_labels(one: dict[str, Any]) -> list[int]:
    """Labels as transformers has them: -100 where there is none."""
    labels = iter(one["labels"])
    return [int(next(labels)) if yes else -100 for yes in one["mask"]]


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    timed = _read(config)[config["questions"] * our_training.warm_up_steps(config) :]
    tokens = sum(len(one["tokens"]) for answers in timed for one in answers)
    losses = [step["loss"] for step in history]
    return watch.answer(tokens) | {"tokens": tokens, "losses": losses, "evidence": {"loss_first_step": losses[0]}}


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
