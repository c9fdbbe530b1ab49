"""Steps of direct preference optimization, beside TRL's DPOTrainer.

    python -m benchmarks.dpo prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

A step is an optimizer step with everything in it, over all weights. The reference's log-probabilities of the pairs
are computed before, by both sides: it is what `burnish run` does, and what makes TRL's steps fastest and smallest
(`precompute_ref_log_probs`). The first steps are not timed.
"""

from typing import TYPE_CHECKING, Any

from benchmarks import our_training, pairs, worker
from benchmarks.row import Config, Row, Target

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.examples import PreferenceExample
    from burnish.nn.decoder import Decoder

_BETA = 0.1
_COMMON: dict[str, Any] = {"module": "benchmarks.dpo", "peer": "TRL DPOTrainer", **pairs.COMMON}

ROWS = (
    Row(
        name="dpo_demo",
        work="steps of DPO on 2 real pairs each of at most 1,024 tokens; reference log-probabilities computed before",
        target=Target(ratio=4, peak_rss_ratio=0.45),
        parameters=pairs.DEMO,
        quick={"longest": 256, "timed_steps": 1},
        **_COMMON,
    ),
    Row(
        name="dpo_long_prompt",
        work="steps of DPO on 2 pairs each of a 768-token prompt and two answers of 64 tokens; "
        "reference log-probabilities computed before",
        target=Target(ratio=6),
        parameters=pairs.LONG_PROMPT,
        quick={"prompt": 192, "answer": 16, "timed_steps": 1},
        **_COMMON,
    ),
)


def ours(config: Config) -> Config:
    decoder, _ = our_training.load(config)
    from burnish.datasets.examples import PreferenceExample
    from burnish.methods import dpo

    training = our_training.settings(config)
    examples = our_training.in_order([PreferenceExample(**pair) for pair in pairs.read(config)])
    reference_logps = [_reference_logps(decoder, example) for example in examples]
    settings = dpo.Settings(beta=_BETA, training=training)
    watch, history = our_training.train(config, decoder, dpo.learn, decoder, examples, reference_logps, settings)
    return _answer(config, watch, history) | {"configuration": our_training.configuration(decoder, training)}


def _reference_logps(decoder: "Decoder", example: "PreferenceExample") -> "Tensor":
    """The log-probabilities of the answers' tokens, the chosen answer's first."""
    import torch

    from burnish.methods.sequences import answer_logps

    return torch.cat(answer_logps(decoder, [example.prompt] * 2, [example.chosen, example.rejected]))


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()

    class Encoded(DPOTrainer):
        """Takes the pairs as the token ids that they are."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    model = config["models"]["float32"]
    clock = trl_training.Clock(config)
    sizes = trl_training.micro_batches(config["batch_size"], config)
    trainer = Encoded(
        model=model,
        args=DPOConfig(
            **trl_training.arguments(config), **sizes, beta=_BETA, max_length=None, precompute_ref_log_probs=True
        ),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=datasets.Dataset.from_list(
            [{f"{part}_ids": tokens for part, tokens in pair.items()} for pair in pairs.read(config)]
        ),
        callbacks=[clock],
    )
    trainer.args.max_steps = our_training.n_steps(config)
    trainer.train()
    return _answer(config, clock.watch, clock.history) | {
        "configuration": sizes | {"precompute_ref_log_probs": True} | trl_training.configuration(trainer)
    }


def _answer(config: Config, watch: worker.Stopwatch, history: list[dict[str, float]]) -> Config:
    # The first loss is log 2 whatever the pairs are: the policy is its own reference. Their log-probabilities tell.
    names = ("loss", "logps/chosen", "logps/rejected")
    return pairs.answer(config, watch, history, {f"{name}_first_step": history[0][name] for name in names})


if __name__ == "__main__":
    worker.main(prepare=pairs.prepare, ours=ours, peer=peer)
