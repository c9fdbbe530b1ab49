"""The peer's side of the rows that train: what TRL's trainers are given alike, and the clock of their steps."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from benchmarks import worker
from benchmarks.our_training import BETAS, LEARNING_RATE, warm_up_steps
from benchmarks.row import Config

MODEL: dict[str, Any] = {"dtype": "float32", "pad_token_id": None}
"""How transformers loads a model. It gives a padding token's embedding no gradient where it is read, but this model's
padding token also ends every turn, so that both sides compute the same only where it knows of none."""


class Clock(TrainerCallback):
    """Times from the end of the steps that warm up to that of the last, as on our side; keeps the metrics of each."""

    def __init__(self, config: Config) -> None:
        self._warm_up_steps = warm_up_steps(config)
        self.watch = worker.Stopwatch()
        self.history: list[dict[str, float]] = []
        self.watch.start()  # for a run of one step, which is a check and not timed

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == state.max_steps:
            self.watch.stop()
        elif state.global_step == self._warm_up_steps:
            self.watch.start()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        logs: dict[str, float] = kwargs.get("logs") or {}
        if "train_runtime" not in logs:  # the summary at the end
            self.history.append(dict(logs))


def arguments(config: Config) -> dict[str, Any]:
    """Arguments of any TRL config: our optimizer and schedule, examples in their order, nothing saved or reported.

    Parameters are float32 as on our side; `precision` bfloat16 is TRL's mixed precision over them.
    """
    return {
        "output_dir": str(Path(config["folder"]) / "trl"),
        "model_init_kwargs": MODEL,
        "bf16": config["precision"] == "bfloat16",
        "gradient_checkpointing": config.get("gradient_checkpointing", False),
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def micro_batches(rows: int, config: Config) -> dict[str, int]:
    """TRL's settings for a step of so many rows in `micro_batches` parts, or as many as there are rows."""
    parts = min(rows, config["micro_batches"])
    return {"per_device_train_batch_size": rows // parts, "gradient_accumulation_steps": parts}


def of_token_ids(trainer: type, prompts: Sequence[list[int]], given: "Callable[[list[int]], Any] | None") -> Any:
    """A trainer that samples, which takes a prompt's number for its token ids.

    given: what generation answers instead of sampling, by the numbers of a batch's prompts.
    """

    class OfTokenIds(trainer):  # type: ignore[misc]
        def _tokenize_prompts(self, numbers: list[str]) -> Any:
            self.numbers = [int(number) for number in numbers]
            return [prompts[number] for number in self.numbers], None, {}

        def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
            return super()._generate_single_turn(*args, **kwargs) if given is None else given(self.numbers)

    return OfTokenIds


def numbers_of(prompts: Sequence[object]) -> Any:
    """The data set of such a trainer."""
    import datasets

    return datasets.Dataset.from_dict({"prompt": [str(number) for number in range(len(prompts))]})


def configuration(trainer: Any) -> Config:
    """What is recorded of the peer's settings."""
    return {
        "weights": str(trainer.model.dtype).removeprefix("torch."),
        "optimizer": str(getattr(trainer.args.optim, "value", trainer.args.optim)),
        "attention": trainer.model.config._attn_implementation,
    }
