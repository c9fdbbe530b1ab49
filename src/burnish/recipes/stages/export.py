"""export: the finished model as a Hugging Face folder with a model card, and as GGUF files."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from burnish.errors import RecipeError
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import (
    LatestEvaluation,
    LatestModel,
    Metrics,
    ReferenceKind,
    StageConfig,
    StageContext,
    read_text,
)
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.checkpoints.facts import ModelShape

Quantization = Literal["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]

# A block of 32 numbers has, beside its 4, 5 or 8 bits for each, a scale of 16 bits, and in the _1 formats an offset.
_BYTES = {
    "F32": 4.0,
    "F16": 2.0,
    "BF16": 2.0,
    "Q8_0": 34 / 32,
    "Q5_1": 24 / 32,
    "Q5_0": 22 / 32,
    "Q4_1": 20 / 32,
    "Q4_0": 18 / 32,
}


class ExportStage(StageConfig):
    """Writes `model/`, which transformers and vLLM load unchanged, and a `.gguf` file for each quantization."""

    type: Literal["export"] = Field("export", description="export")
    model: LatestModel = Field(None, description="model to export; the latest trained one if left out")
    gguf: list[Quantization] = Field(
        [], description="GGUF files to write, for llama.cpp: F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1, Q4_0"
    )
    context_length: int | None = Field(
        None,
        gt=0,
        description="longest text of the GGUF files in tokens, the model's if left out; needed where the model has a "
        "sliding window that llama.cpp does not compute, and then at most that",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of the model folder")
    evaluation: LatestEvaluation = Field(
        None, description="evaluation whose results the model card shows; the latest if left out"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    copies: ClassVar[bool] = True
    shows: ClassVar[tuple[str, ...]] = ("system", "chat")

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        # The output layer of the smallest formats is larger, at most half the model.
        sizes = [max(_BYTES[quantization], (_BYTES[quantization] + _BYTES["Q8_0"]) / 2) for quantization in self.gguf]
        return round(n_parameters * (4 + sum(sizes)))

    def check_model(self, model: "ModelShape") -> None:
        from burnish.methods.settings import own_format_reason

        if (reason := own_format_reason(model)) is not None:
            raise RecipeError(
                f"{self.name or self.type_name()}.model: got a model of Burnish's own format, which no other program "
                f"reads: {reason}; leave this stage out, and use the folder that the model is in"
            )

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.checkpoints.facts import count_parameters
        from burnish.checkpoints.formats import write_formats
        from burnish.checkpoints.origin import origin
        from burnish.report.card import model_card

        results = context.path(self.evaluation) if self.evaluation is not None else None
        decoder, tokenizer = context.load(self.model)
        card = model_card(
            context.recipe,
            context.lineage,
            results,
            model=str(self.model),
            origin=None if context.base is None else origin(context.base),
            system=_system(context),
            chat=tokenizer.chat_template is not None,
            n_parameters=count_parameters(decoder.config),
        )
        written = write_formats(
            decoder,
            tokenizer,
            context.folder,
            model=context.folder / MODEL_FOLDER,
            name=context.recipe["name"],
            gguf=self.gguf,
            context_length=self.context_length,
            dtype=self.dtype,
            card=card,
        )
        for path in written:
            context.display.say(f"  {path}")
        return {"bytes": {path.name: _bytes(path) for path in written}}


def _system(context: StageContext) -> str | None:
    """The system prompt of the recipe's `chat`, or else of the recipe, if it has one."""
    written = (context.recipe.get("chat") or {}).get("system") or context.recipe.get("system")
    if not written or not written.startswith("@"):
        return written or None
    name, _, inner = written[1:].partition("/")
    files = sorted(context.folder.parent.glob(f"[0-9][0-9]*-{name}/{inner}"))
    return read_text(files[0]) if files else None


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
