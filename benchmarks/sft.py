"""Training steps of supervised fine-tuning, beside TRL's SFTTrainer.

    python -m benchmarks.sft prepare|ours|peer '{"folder": ..., "threads": 2, ...}'

Both sides train all weights with AdamW on the same token ids and learn the same tokens, the answers'. A step is an
optimizer step with everything in it: batches, forward, backward, clipping, update, log. The first is not timed. What
is counted is tokens of whole examples: padding counts for nothing, and a prompt that examples share counts for each.
"""

from pathlib import Path
from typing import Any

from benchmarks import material, our_training, worker
from benchmarks.row import BenchmarkError, Config, Row, Target

_AS_IT_COMES = {
    "precision": ("float32", "bfloat16"),
    "layout": ("padded",),
    "gradient_checkpointing": (False,),
    "keep_freed_memory": (False,),
}
"""TRL with its defaults, but for its best dtype."""
_TUNED = {
    "precision": ("float32", "bfloat16"),
    "layout": ("flattened in 4", "flattened in 8", "padded in 8", "packed"),
    "gradient_checkpointing": (False, True),
    "keep_freed_memory": (True, False),
}
"""The layouts of TRL that came out on top of a wider search, and Burnish's settings of the allocator."""

_COMMON: dict[str, Any] = {
    "module": "benchmarks.sft",
    "peer": "TRL SFTTrainer",
    "check": {"compute_dtype": "float32", "precision": "float32", "timed_steps": 0},
    "search": {"timed_steps": 1},
    "packages": ("trl", "transformers", "accelerate", "datasets"),
}
_CONVERSATIONS: dict[str, Any] = {
    "unit": "tokens/s",
    "target": Target(ratio=4, peak_rss_ratio=0.5),
    "parameters": {"system_tokens": None, "longest": 1024, "batch_size": 8, "timed_steps": 4},
    "quick": {"timed_steps": 1, "batch_size": 4},
}

ROWS = (
    Row(
        name="sft_packed",
        work="steps of full fine-tuning on 8 real conversations each, TRL as it comes in its best dtype",
        axes=_AS_IT_COMES,
        **_CONVERSATIONS,
        **_COMMON,
    ),
    Row(
        name="sft_packed_tuned",
        work="the same, TRL in the fastest of its layouts and settings",
        axes=_TUNED,
        **_CONVERSATIONS,
        **_COMMON,
    ),
    Row(
        name="sft_shared_prompt",
        work="steps of full fine-tuning on 32 short real conversations each, under one system prompt of 166 tokens",
        unit="examples/s",
        target=Target(ratio=10),
        parameters={"system_tokens": 166, "longest": 166 + 48, "batch_size": 32, "timed_steps": 2},
        quick={"timed_steps": 1, "batch_size": 4},
        axes=_TUNED,
        **_COMMON,
    ),
)

SYSTEM_PROMPT = """\
You are the assistant of the customer service of a public library. Answer the question of the reader in plain \
English, in as few words as the matter allows. Be friendly, but do not praise the question and do not repeat it. When \
you are asked to write, rewrite, sort or classify a text, give the result alone, without introduction. When you \
are asked for a list, write one item on each line. When you are asked for a number, give the number first and then, in \
one sentence, how you found it. Do not invent titles, authors, prices or opening hours: say that you do not know, and \
name the desk that does. Do not give medical, legal or financial advice. If a question cannot be understood, ask for \
the one thing that is missing."""
"""Its message is `system_tokens` long in the chat template, which `prepare` makes sure of."""

_PACKED_LENGTH = 1024


def prepare(config: Config) -> Config:
    folder = Path(config["folder"])
    decoder, tokenizer = material.load_model()
    system = None
    if config["system_tokens"] is not None:
        system = SYSTEM_PROMPT
        found = len(tokenizer.encode(f"<|im_start|>system\n{system}<|im_end|>\n", special=True))
        if found != config["system_tokens"]:
            raise BenchmarkError(f"the system message has {found} tokens, not {config['system_tokens']}")
    examples = material.alpaca_examples(tokenizer, system=system, longest=config["longest"])
    return {
        "models": material.save_folders(decoder, tokenizer, folder, "float32"),
        "work": material.write_work(folder, examples),
    }


def ours(config: Config) -> Config:
    decoder, _ = our_training.load(config)
    from burnish.datasets.examples import Example
    from burnish.methods import sft

    examples = [Example(one["tokens"], one["mask"]) for one in _examples(config)]
    training = our_training.settings(config)
    watch, history = our_training.train(
        config, decoder, sft.learn, decoder, our_training.in_order(examples), sft.Settings(training=training)
    )
    timed = examples[config["batch_size"] :]
    done = {"examples": len(timed), "tokens": sum(len(example.tokens) for example in timed)}
    return _answer(config, watch, done, history) | {"configuration": our_training.configuration(decoder, training)}


def peer(config: Config) -> Config:
    worker.use_processor(config["threads"], keep_freed_memory=config["keep_freed_memory"])
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    import datasets
    from benchmarks import trl_training

    datasets.disable_progress_bars()
    done = {"examples": 0, "tokens": 0}

    class Counting(SFTTrainer):
        """Counts what goes through the model after the first step."""

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if self.state.global_step > 0:
                padded = "attention_mask" in inputs
                done["examples"] += len(inputs["input_ids"]) if padded else len(inputs["cu_seq_lens_q"]) - 1
                done["tokens"] += int(inputs["attention_mask"].sum()) if padded else inputs["input_ids"].numel()
            return super().training_step(model, inputs, *args, **kwargs)

    examples = _examples(config)
    layout = _layout(config, examples)
    model = config["models"]["float32"]
    clock = trl_training.Clock(config)
    trainer = Counting(
        model=model,
        args=SFTConfig(**trl_training.arguments(config), **layout),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=datasets.Dataset.from_list(
            [{"input_ids": one["tokens"], "labels": _labels(one)} for one in examples]
        ),
        callbacks=[clock],
    )
    step = layout["per_device_train_batch_size"] * layout["gradient_accumulation_steps"]
    trainer.args.max_steps = max(1, len(trainer.train_dataset) // step)
    trainer.train()
    return _answer(config, clock.watch, done, clock.history) | {
        "configuration": layout | trl_training.configuration(trainer)
    }


def _examples(config: Config) -> list[dict[str, Any]]:
    """The examples of the first step and of the timed ones."""
    n = config["batch_size"] * our_training.n_steps(config)
    examples = material.read_work(config["work"])
    if len(examples) < n:
        raise BenchmarkError(f"the sample data has {len(examples)} such examples, fewer than {n}")
    return examples[:n]


def _labels(example: dict[str, Any]) -> list[int]:
    """The token ids where they are learned, elsewhere what PyTorch's cross-entropy ignores."""
    return [token if learned else -100 for token, learned in zip(example["tokens"], example["mask"], strict=True)]


def _layout(config: Config, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """TRL's settings for a way to lay out the examples of a step.

    padded: rows of equal length; flattened: TRL's padding-free mode, one row of all examples, which transformers
    masks by their positions; packed: TRL's best-fit-decreasing packing, where a step holds `batch_size` examples on
    average and not the same ones. `in 4`: in so many micro-batches, whose gradients are accumulated.
    """
    size = config["batch_size"]
    name, _, parts = config["layout"].partition(" in ")
    if name == "packed":
        rows = round(sum(len(one["tokens"]) for one in examples) / len(examples) * size / _PACKED_LENGTH)
        return {
            "packing": True,
            "packing_strategy": "bfd",
            "max_length": _PACKED_LENGTH,
            "per_device_train_batch_size": 1,
            # The one step of a check takes all rows, however many there are.
            "gradient_accumulation_steps": max(1, rows) if config["timed_steps"] else size,
        }
    micro_batches = min(size, int(parts or 1))
    return {
        "packing": False,
        "padding_free": name == "flattened",
        "max_length": None,
        "per_device_train_batch_size": size // micro_batches,
        "gradient_accumulation_steps": micro_batches,
    }


def _answer(config: Config, watch: worker.Stopwatch, done: dict[str, int], history: list[dict[str, float]]) -> Config:
    amount = done["tokens" if config["unit"] == "tokens/s" else "examples"]
    losses = [step["loss"] for step in history]
    return watch.answer(amount) | done | {"losses": losses, "evidence": {"loss_first_step": losses[0]}}


if __name__ == "__main__":
    worker.main(prepare=prepare, ours=ours, peer=peer)
