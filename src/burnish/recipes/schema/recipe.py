"""The recipe: what a YAML file may hold, and what each key means."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from burnish.methods.settings import StopString
from burnish.recipes.schema.formed import GrammarName
from burnish.recipes.schema.gate import GateConfig
from burnish.recipes.schema.judges import JudgeConfig
from burnish.recipes.schema.retrieval import IndexedPassages
from burnish.recipes.schema.stage import ModelReference, Name, StrictModel, SystemPrompt
from burnish.recipes.stages import Stage


class ChatConfig(StrictModel):
    """How `burnish chat RUN` talks to the finished model."""

    system: Annotated[
        SystemPrompt,
        Field(description="system prompt: the text itself, or `@stage/file`; the recipe's if left out"),
    ] = None
    judges: list[JudgeConfig] = Field(
        default=[],
        description="what answers come to: what `--votes` compares, and for SQL the rows that a query returns",
    )
    gate: GateConfig | None = Field(
        default=None, description="only answers that a judge scores high enough are given; else more are sampled"
    )
    retrieval: IndexedPassages | None = Field(
        default=None, description="the index whose passages questions are answered from, as `burnish chat --retrieve`"
    )
    grammar: GrammarName | None = Field(
        default=None,
        description="form of the answers: `sql` is one query that names only what the database of the judge of type "
        "sql has; needs burnish[serve]",
    )
    max_new_tokens: Annotated[int, Field(ge=1, description="longest answer, in tokens")] = 256
    repetition_penalty: Annotated[float, Field(gt=0, description="above 1, what was said is less likely")] = 1.0
    stop: Annotated[list[StopString], Field(description="strings that end an answer, which is cut before them")] = []  # noqa: RUF012 (pydantic copies it)
    memory: Annotated[
        bool,
        Field(description="whether a question sees the turns before it; not for a model of single questions"),
    ] = True


class Recipe(StrictModel):
    """From open weights to a better model: a starting point and the stages that improve it."""

    name: Name = Field(description="name of the run's folder: runs/NAME")
    seed: int = Field(0, ge=0, lt=2**63, description="where all randomness starts: same seed, same machine, same bits")
    model: ModelReference | None = Field(
        None,
        description="model to start from: a Hugging Face folder, a .gguf file, or package:NAME/FILE for a file that an "
        "installed Python package carries; left out where a `pretrain` stage makes one",
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, cuda, cuda:N or mps")
    compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="format of matrix products; auto measures which is faster here"
    )
    date: datetime.date | None = Field(
        None, description="the day that chat templates print (2026-01-31); the run's first day if left out"
    )
    threads: int | None = Field(None, ge=1, description="CPU threads; all cores if left out")
    keep: Literal["needed", "all"] = Field(
        "needed",
        description="models on the way to another: `needed` removes each as soon as no stage still to run reads it, "
        "and makes it again where a changed one does; `all` keeps them",
    )
    system: SystemPrompt = Field(
        None,
        description="system prompt of rows that have none, and of `burnish chat`: the text itself, or `@stage/file`",
    )
    chat: ChatConfig | None = Field(None, description="how `burnish chat` talks to the finished model")
    stages: list[Stage] = Field(min_length=1, description="what to do, in order")

    def header(self) -> dict[str, Any]:
        """Everything but the stages, as JSON values."""
        return self.model_dump(mode="json", exclude={"stages"})
