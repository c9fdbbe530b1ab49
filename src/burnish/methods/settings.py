"""Settings that several methods have in common; each adds its own in its file.

Nothing here imports PyTorch: recipes read the settings of every method.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from burnish.errors import DataError
from burnish.nn.config import DecoderConfig
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from burnish.datasets.rows import Task
    from burnish.generation.sampling import Sampling
    from burnish.nn.lora import LoraConfig

Row = TypeVar("Row")
StopString = Annotated[str, Field(min_length=1)]
"""What ends an answer, which is cut before it."""
Target = Literal["q", "k", "v", "o", "gate", "up", "down"]
ALL_TARGETS: list[Target] = ["q", "k", "v", "o", "gate", "up", "down"]


class Strict(BaseModel):
    """Base of settings: no unknown keys, no silent conversion, no change afterwards."""

    not_offered: ClassVar[Mapping[str, str]] = {}
    """Keys that one may look for, of other programs or other stages, with the reason why there are none."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LoraSettings(Strict):
    """Trains low-rank adapters instead of all weights (Hu 2021, arXiv:2106.09685)."""

    rank: int = Field(16, ge=1, description="rank of the adapters")
    alpha: float = Field(32.0, gt=0, description="the adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: list[Target] = Field(ALL_TARGETS, min_length=1, description="projections that get an adapter")

    def config(self) -> "LoraConfig":
        from burnish.nn.lora import LoraConfig

        return LoraConfig(rank=self.rank, alpha=self.alpha, dropout=self.dropout, targets=tuple(self.targets))


class TrainingSettings(Strict):
    """Settings of every method that changes weights."""

    training: TrainingConfig = Field(TrainingConfig.model_validate({}), description="optimizer, schedule, batch sizes")
    lora: LoraSettings | None = Field(None, description="train low-rank adapters instead of all weights")
    freeze_layers: int = Field(
        0, ge=0, description="first layers, with the embedding, that stay as they are: less time and memory"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong: the key at fault, and why."""
        if self.lora is not None and self.freeze_layers:
            yield "freeze_layers", f"got {self.freeze_layers}; `lora` freezes all weights already: remove one"

    def misfit(self, model: DecoderConfig) -> str | None:
        """Why the settings do not fit a model of this shape, the key first; None where they do."""
        if self.lora is not None and (reason := own_format_reason(model)) is not None:
            return f"lora: got adapters, which PEFT keeps for the model families it knows, and {reason}: remove it"
        if self.freeze_layers < model.n_layers:
            return None
        return (
            f"freeze_layers: got {self.freeze_layers}; the model has {model.n_layers} layers and at least one must "
            f"train: expected at most {model.n_layers - 1}"
        )


class Bounded(Protocol):
    """Settings that say how long an example may be."""

    @property
    def max_length(self) -> int: ...


class Trains(Protocol):
    """Settings that say how to train."""

    @property
    def training(self) -> TrainingConfig: ...


class JudgedSettings(TrainingSettings):
    """Settings of the methods that learn from judged answers: pairs, ranked lists, single answers."""

    max_length: int = Field(2048, ge=2, description="longest prompt with its answer, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer rows")
    heldout: int = Field(0, ge=0, description="last rows of the data kept for measuring, before and after")

    def split(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """The rows to train on, and those held out. Raises DataError where none is left to train on."""
        if self.heldout >= len(rows):
            raise DataError(
                f"{source(rows)}: heldout is {self.heldout}, but there are only {len(rows)} rows: lower it or add rows"
            )
        return list(rows[: len(rows) - self.heldout]), list(rows[len(rows) - self.heldout :])


class RolloutSettings(TrainingSettings):
    """Settings of the methods that learn from samples of their own."""

    not_offered: ClassVar[Mapping[str, str]] = {
        "repetition_penalty": "answers would be drawn from another policy than the one that the loss is of; to be paid "
        "for what is not said twice, add {type: repetition} to `rewards`"
    }
    rollouts: int | None = Field(
        None, ge=1, description="how often to sample; `training.epochs` over the tasks if null"
    )
    num_generations: int = Field(1, ge=1, le=100_000, description="answers to each prompt of a rollout")
    temperature: float = Field(1.0, gt=0, description="1 samples from the model itself; the loss is of the same policy")
    max_new_tokens: int = Field(128, ge=1, description="longest completion, in tokens")
    stop: list[StopString] = Field([], description="strings that end an answer, which is judged cut before them")
    groups: str | None = Field(None, description="key of the tasks by whose values reward and length are logged apart")
    num_generations_eval: int = Field(
        8, ge=1, description="answers to each held-out task, at each evaluation (`training.eval_steps`)"
    )

    def group_of(self, task: "Task") -> str | None:
        """The group of a task, such as `digits=3`; None where there are none."""
        return None if self.groups is None or self.groups not in task.row else f"{self.groups}={task.row[self.groups]}"

    def sampling(self, **choice: Any) -> "Sampling":
        """How completions are drawn; `choice` is what a method truncates."""
        from burnish.generation.sampling import Sampling

        return Sampling(
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            stop_strings=tuple(self.stop),
            **choice,
        )

    @abstractmethod
    def prompts_per_rollout(self, n_tasks: int) -> int:
        """Prompts, of so many, that a rollout samples answers to."""

    @property
    @abstractmethod
    def passes(self) -> int:
        """How often a rollout is learned from."""

    def n_rollouts(self, n_tasks: int, source: str) -> int:
        """How often to sample. Raises DataError where that is not once."""
        if self.rollouts is not None:
            return self.rollouts
        prompts = self.prompts_per_rollout(n_tasks)
        share = self.training.epochs * n_tasks / prompts
        if round(share) == 0:
            raise DataError(
                f"{source}: there would be 0 rollouts, and nothing learned: training.epochs "
                f"{self.training.epochs:g} of {n_tasks} tasks are {share:.2g} rollouts of {prompts} prompts; set "
                f"rollouts, raise training.epochs to {prompts / n_tasks:.2g}, or lower training.batch_size"
            )
        return round(share)


def source(rows: Sequence[Any]) -> str:
    """The file that rows come from; `memory` for those that come from none."""
    return str(rows[0].place.file) if rows else "no rows"


def own_format_reason(model: DecoderConfig) -> str | None:
    """Why a model of this shape is saved in a folder of Burnish's own; None where a model family can hold it."""
    from burnish.checkpoints.families import no_family

    return no_family(model)
