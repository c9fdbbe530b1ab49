"""Steps of a Bradley-Terry reward model, beside TRL's RewardTrainer.

    python -m benchmarks.reward_model prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides train all weights and a scalar head, which begins with the same numbers, on the pairs of the row `dpo_demo`.
A step is an optimizer step with everything in it; the first ones are not timed.
"""

from pathlib import Path

from benchmarks import material, our_training, pairs, worker
from benchmarks.row import Config, Row, Target

ROWS = (
    Row(
        name="reward_model",
        work="steps of a reward model on 2 real pairs each of at most 1,024 tokens",
        module="benchmarks.reward_model",
        peer="TRL RewardTrainer",
        target=Target(ratio=4),
        parameters=pairs.DEMO,
        quick={"longest": 256, "timed_steps": 1},
        **pairs.COMMON,
    ),
)


def prepare(config: Config) -> Config:
    from burnish.checkpoints import save_reward_model
    from burnish.nn.scalar import ScalarModel

    decoder, tokenizer = material.load_model()
    folder = Path(config["folder"])
    model = folder / "reward_model"
    save_reward_model(ScalarModel(decoder, seed=0), tokenizer, model)
    return {"models": {"float32": str(model)}, "work": pairs.write(config, tokenizer, folder)}


def ours(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=True)
    from burnish.checkpoints import load_reward_model
    from burnish.datasets.rankings import RankedExample
    from burnish.methods import reward_model

    model, _ = load_reward_model(
        config["models"]["float32"], compute_dtype=config.get("compute_dtype", "auto"), device="cpu"
    )
    training = our_training.settings(config)
    examples = [RankedExample(one["prompt"], [one["chosen"], one["rejected"]]) for one in pairs.read(config)]
    settings = reward_model.Settings(training=training)
    watch, history = our_training.train(
        config, model, reward_model.learn, model, our_training.in_order(examples), settings
    )
    return _answer(config, watch, history) | {"configuration": our_training.configuration(model.decoder, training)}


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    from transformers import AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()
    model = config["models"]["float32"]
    # transformers reads the score at the last token that is not padding, and the usual padding token ends an answer.
    tokenizer = AutoTokenizer.from_pretrained(model, pad_token="<|endoftext|>")
    clock = trl_training.Clock(config)
    sizes = trl_training.micro_batches(config["batch_size"], config)
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(**trl_training.arguments(config), **sizes, max_length=None),
        processing_class=tokenizer,
        train_dataset=datasets.Dataset.from_list(
            [
                {f"{name}_ids": pair["prompt"] + pair[name] for name in ("chosen", "rejected")}
                for pair in pairs.read(config)
            ]
        ),
        callbacks=[clock],
    )
    trainer.args.max_steps = our_training.n_steps(config)
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {"configuration": sizes | trl_training.configuration(trainer)}


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    return pairs.answer(config, watch, history, {f"{name}_first_step": history[0][name] for name in ("loss", "margin")})


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
