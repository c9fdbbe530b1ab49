"""Steps of proximal policy optimization, beside TRL's PPOTrainer.

    python -m benchmarks.ppo prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

A step is all of it: the completions of its prompts are sampled by the policy as it is, exactly so many tokens each
(neither side stops earlier); a cheap function scores them; policy, reference and critic evaluate their tokens;
several epochs of one update each follow. Policy and critic are networks of their own on both sides, and all their
weights train. The first step is not timed. TRL dropped its PPOTrainer in 1.13, so the peer is the last release with
one, which `make bench` keeps beside the environment.
"""

from pathlib import Path

from benchmarks import material, our_rollouts, our_training, peers, worker
from benchmarks.row import Config, Row, Target

_LOSSES = ("loss/policy_avg", "loss/value_avg")
ROWS = (
    Row(
        name="ppo",
        work="steps of PPO: 128 new tokens for each of 8 GSM8K questions, scores, values and reference, 4 epochs",
        module="benchmarks.ppo",
        peer="TRL 1.12 PPOTrainer",
        unit="completions/s",
        target=Target(ratio=3),
        parameters={"prompts": 8, "samples": 1, "new_tokens": 128, "epochs": 4, "timed_steps": 1, "fixed": False},
        quick={"prompts": 2, "new_tokens": 16, "epochs": 2},
        axes={"precision": ("float32", "bfloat16"), "micro_batches": (1, 4), "keep_freed_memory": (True,)},
        search={"epochs": 1},
        check={"compute_dtype": "float32", "precision": "float32", "timed_steps": 0},
        packages=("transformers", "accelerate", "datasets"),
    ),
)


def prepare(config: Config) -> Config:
    from burnish.checkpoints import save_reward_model
    from burnish.nn.actor_critic import make_critic

    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    save_reward_model(make_critic(decoder, "head"), tokenizer, folder / "critic")
    prompts = material.gsm8k_prompts(tokenizer, n=config["prompts"])
    fixed = our_rollouts.completions(decoder, prompts, config, ragged=False) if config["fixed"] else []
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32") | {"critic": str(folder / "critic")},
        "work": material.write_work(folder, [prompts, fixed]),
    }


def ours(config: Config) -> Config:
    actor, tokenizer = our_training.load(config)
    from burnish.methods import ppo

    # TRL's PPOTrainer clips no gradient.
    training = our_training.settings(config, batch_size=config["prompts"], max_grad_norm=1e9)
    settings = ppo.Settings(
        num_ppo_epochs=config["epochs"],
        critic=ppo.CriticSettings(type="network"),
        num_generations=config["samples"],
        rollouts=our_training.n_steps(config),
        max_new_tokens=config["new_tokens"],
        training=training,
    )
    prompts, fixed = _work(config)
    work = our_rollouts.sampled_work(tokenizer, prompts, fixed=bool(fixed))
    n = config["epochs"]
    with our_rollouts.given(prompts, fixed):
        watch, history = our_training.train(config, actor, ppo.learn, actor, work, settings, updates=n)
    return _answer(config, watch, [mean_losses(history[i : i + n]) for i in range(0, len(history), n)]) | {
        "configuration": our_training.configuration(actor, training)
    }


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    peers.put_first(peers.OLDER_TRL)
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    import datasets
    from benchmarks import trl_training
    from benchmarks.trl_stand_ins import OddShare, given_generation

    datasets.disable_progress_bars()
    prompts, fixed = _work(config)
    clock = trl_training.Clock(config)
    sizes = trl_training.micro_batches(config["prompts"], config)
    arguments = trl_training.arguments(config)
    del arguments["model_init_kwargs"]
    folder = config["models"]["float32"]
    policy, reference = (AutoModelForCausalLM.from_pretrained(folder, **trl_training.MODEL) for _ in range(2))
    # A token that is never sampled: PPOTrainer takes the padding token in an answer for its end.
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", pad_token="<reponame>")
    trainer = PPOTrainer(
        args=PPOConfig(
            **arguments,
            **sizes,
            response_length=config["new_tokens"],
            num_ppo_epochs=config["epochs"],
            total_episodes=config["prompts"] * our_training.n_steps(config),
            temperature=1.0,
            num_sample_generations=0,
        ),
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=OddShare(config["new_tokens"]),
        value_model=AutoModelForSequenceClassification.from_pretrained(
            config["models"]["critic"], **trl_training.MODEL
        ),
        train_dataset=datasets.Dataset.from_list([{"input_ids": tokens} for tokens in prompts]),
        callbacks=[clock],
    )
    if fixed:
        ppo_trainer.batch_generation = given_generation(prompts, fixed)
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {
        "configuration": sizes | {"optimizer": type(trainer.optimizer.optimizer).__name__}
    }


def _work(config: Config) -> tuple[list[list[int]], list[list[list[int]]]]:
    """The prompts of every step (TRL shuffles them, so a step holds all), and their completions where given."""
    prompts, fixed = material.read_work(config["work"])
    return prompts, fixed


def mean_losses(updates: list[dict[str, float]]) -> dict[str, float]:
    """The losses of a rollout as TRL logs them: the means over its updates."""
    return {name: sum(one[name] for one in updates) / len(updates) for name in _LOSSES}


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    return watch.answer(config["timed_steps"] * config["prompts"]) | {
        "losses": [[step[name] for name in _LOSSES] for step in history],
        "evidence": {"steps": len(history)},
    }


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
