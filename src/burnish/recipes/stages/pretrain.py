"""pretrain: a new model, from random weights; see `burnish.methods.pretrain`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.evaluation.heldout_text import NOTHING_HELD_OUT
from burnish.methods import pretrain
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.stage import CorpusReference, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.recipes.plan.work import Work


class PretrainStage(pretrain.Settings, StageConfig):
    """Trains a new model on the corpus, whose tokenizer it has. A recipe with this stage needs no `model`.

    The product is `model/`: a Hugging Face folder where a model family can hold the architecture, else a folder of
    Burnish's own, which the stages behind it read, and no other program.
    """

    type: Literal["pretrain"] = Field("pretrain", description="pretrain")
    corpus: CorpusReference = Field(description="corpus to train on: @STAGE")

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}
    resumable: ClassVar[bool] = True
    begins: ClassVar[bool] = True

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        for key, problem in self.architecture.contradictions():
            yield ("architecture", key), problem

    def problems_among(self, producers: Mapping[str, StageConfig]) -> Iterator[tuple[KeyPath, str]]:
        window, most = self.window(producers), self.architecture.max_positions
        if self.architecture.positions == "learned" and window is not None and most is not None and window > most:
            yield (
                ("architecture", "max_positions"),
                f"got {most}; the corpus has sequences of up to {window} tokens, and positions are learned: expected "
                f"at least {window}, or a smaller window of the corpus",
            )

    def notes(self, producers: Mapping[str, StageConfig]) -> Iterator[str]:
        if getattr(self._maker(producers), "heldout", None) == 0:
            yield NOTHING_HELD_OUT

    def window(self, producers: Mapping[str, StageConfig]) -> int | None:
        """The longest sequence of the corpus; None where no stage of the recipe makes it."""
        return getattr(self._maker(producers), "window", None)

    def _maker(self, producers: Mapping[str, StageConfig]) -> StageConfig | None:
        return producers.get(self.corpus[1:].partition("/")[0]) if self.corpus.startswith("@") else None

    def disk_bytes(self, n_parameters: int) -> int:
        """The model in float32, and the state twice while a new one replaces it: weights and two moments."""
        return n_parameters * 4 * (1 + 2 * 3)

    def kept_bytes(self, n_parameters: int) -> int:
        return n_parameters * 4

    def work(self, context: StageContext) -> "Work":
        from burnish.corpus.token_corpus import TokenCorpus
        from burnish.recipes.plan.work import Work

        steps, read = pretrain.planned(TokenCorpus.load(context.path(self.corpus)), self.training, seed=context.seed)
        return Work(steps=len(steps), trained=read, micro_batch=self.training.micro_batch_tokens)

    def run(self, context: StageContext) -> Metrics:
        from burnish.corpus.token_corpus import TokenCorpus, load_tokenizer

        folder = context.path(self.corpus)
        _, metrics = pretrain.train(
            TokenCorpus.load(folder),
            load_tokenizer(folder),
            self,
            context,
            device=context.device,
            compute_dtype=context.compute_dtype,
        )
        return metrics

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        measured = ("perplexity", "perplexity_interval") if metrics["perplexity"] else ()
        return {"n_parameters": metrics["parameters"], **{name: metrics[name] for name in measured}}
