"""export: the finished model as a Hugging Face folder with a model card, and as GGUF files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.deployment.programs import Program, gguf_formats
from burnish.errors import BurnishError, RecipeError
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.heldout_text import SCORED_TOKENS, corpus_problems
from burnish.recipes.schema.stage import (
    CorpusReference,
    LatestEvaluation,
    LatestModel,
    Metrics,
    ReferenceKind,
    StageConfig,
    StageContext,
    read_text,
)
from burnish.runs.names import INT8_FOLDER, MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.checkpoints.facts import ModelShape

Quantization = Literal[
    "F32",
    "F16",
    "BF16",
    "Q8_0",
    "Q6_K",
    "Q5_K_M",
    "Q5_1",
    "Q5_0",
    "Q4_K_M",
    "Q4_1",
    "Q4_0",
    "Q3_K_M",
    "Q2_K",
]

# A block of 32 numbers has, beside its 4, 5 or 8 bits for each, a scale of 16 bits, and in the _1 formats an offset.
# Of K-quants the bits a weight of whole models are measured (llama.cpp, tools/quantize/README.md); where rows are no
# multiple of 256 they are the next plain format, and a plain file of 32 bits is written first.
_BYTES = {
    "F32": 4.0,
    "F16": 2.0,
    "BF16": 2.0,
    "Q8_0": 34 / 32,
    "Q5_1": 24 / 32,
    "Q5_0": 22 / 32,
    "Q4_1": 20 / 32,
    "Q4_0": 18 / 32,
    "Q6_K": 4 + 34 / 32,
    "Q5_K_M": 4 + 34 / 32,
    "Q4_K_M": 4 + 24 / 32,
    "Q3_K_M": 4 + 20 / 32,
    "Q2_K": 4 + 20 / 32,
}


class ExportStage(StageConfig):
    """Writes `model/`, which transformers and vLLM load unchanged, and a `.gguf` file for each quantization."""

    type: Literal["export"] = Field("export", description="export")
    model: LatestModel = Field(None, description="model to export; the latest trained one if left out")
    gguf: list[Quantization] = Field(
        [],
        description="GGUF files to write, for llama.cpp: F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1, Q4_0; and where "
        "llama-cpp-python is installed Q6_K, Q5_K_M, Q4_K_M, Q3_K_M, Q2_K",
    )
    context_length: int | None = Field(
        None,
        gt=0,
        description="longest text of the GGUF files in tokens, the model's if left out; needed where the model has a "
        "sliding window that llama.cpp does not compute, and then at most that",
    )
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="number format of the model folder")
    int8: bool = Field(
        False,
        description="whether to write `model-int8` too, a folder whose matrices have 8 bits a weight, by torchao, for "
        "transformers and vLLM",
    )
    deploy: list[Program] = Field(
        [],
        description="programs to write files for, by which they serve the model: ollama, llama.cpp, vllm, docker, "
        "systemd; for the first two a GGUF file is written, Q8_0 if `gguf` names none",
    )
    evaluation: LatestEvaluation = Field(
        None, description="evaluation whose results the model card shows; the latest if left out"
    )
    corpus: CorpusReference | None = Field(
        None, description="corpus on whose held-out text the perplexity of each file is measured, beside the model's"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    copies: ClassVar[bool] = True
    shows: ClassVar[tuple[str, ...]] = ("system", "chat")

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        from burnish.checkpoints.int8 import require_torchao
        from burnish.checkpoints.k_quants import K_QUANTS, require_llama_cpp

        if self.int8:
            try:
                require_torchao()
            except BurnishError as error:
                yield ("int8",), str(error)
        for place, quantization in enumerate(self.gguf):
            if quantization in K_QUANTS:
                try:
                    require_llama_cpp(quantization)
                except BurnishError as error:
                    yield ("gguf", place), str(error)

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        yield from corpus_problems(self.corpus, [str(self.model)], producers)

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        # The output layer of the smallest formats is larger, at most half the model.
        formats = gguf_formats(self.deploy, self.gguf)
        sizes = [max(_BYTES[quantization], (_BYTES[quantization] + _BYTES["Q8_0"]) / 2) for quantization in formats]
        return round(n_parameters * (4 + sum(sizes) + (4 if self.int8 else 0)))  # 8 bits a weight, but for embeddings

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
        from burnish.deployment.exported import exported_model
        from burnish.deployment.writing import write_deployment
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
            int8=context.folder / INT8_FOLDER if self.int8 else None,
            name=context.recipe["name"],
            gguf=gguf_formats(self.deploy, self.gguf),
            context_length=self.context_length,
            dtype=self.dtype,
            card=card,
        )
        exported = exported_model(
            context.recipe["name"],
            context.folder,
            written,
            tokenizer,
            context_length=self.context_length or decoder.config.max_positions,
            system=_system(context),
            temperature=0.0,  # what `burnish chat` and `burnish serve` take
            stop=(context.recipe.get("chat") or {}).get("stop") or (),
        )
        for path in [*written, *write_deployment(exported, self.deploy, context.display.say)]:
            context.display.say(f"  {path}")
        metrics: Metrics = {"bytes": {path.name: _bytes(path) for path in written}}
        if self.corpus is not None:
            metrics["perplexity"] = self._measured(context, written)
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        if "perplexity" not in metrics:
            return {}
        sizes, measured = metrics["bytes"], metrics["perplexity"]
        return {"exported": {name: {"bytes": sizes[name], "perplexity": measured[name]} for name in measured}}

    def _measured(self, context: StageContext, written: list[Path]) -> dict[str, dict[str, float]]:
        """The perplexity of what was written, read back from the disk, by file and group of held-out text."""
        import burnish
        from burnish.corpus.token_corpus import TokenCorpus
        from burnish.evaluation.heldout_text import measure_heldout, perplexities

        corpus = TokenCorpus.load(context.path(self.corpus))
        found = {}
        for path in written:
            decoder, tokenizer = burnish.load(path, compute_dtype=context.compute_dtype, device=context.device)
            found[path.name] = perplexities(measure_heldout(decoder, tokenizer, corpus, SCORED_TOKENS, str(path)))
            shown = ", ".join(f"{group} {value:.2f}" for group, value in found[path.name].items())
            context.display.say(f"  {path.name}: {_bytes(path) / 2**20:,.0f} MiB, perplexity {shown}")
        return found


def _system(context: StageContext) -> str | None:
    """The system prompt of the recipe's `chat`, or else of the recipe, if it has one."""
    written = (context.recipe.get("chat") or {}).get("system")
    written = context.recipe.get("system") if written is None else written
    if not written or not written.startswith("@"):
        return written or None
    name, _, inner = written[1:].partition("/")
    files = sorted(context.folder.parent.glob(f"[0-9][0-9]*-{name}/{inner}"))
    return read_text(files[0]) if files else None


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
