"""pretrain: a new model, from random weights; see `burnish.methods.pretrain`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from burnish.evaluation.heldout_text import NOTHING_HELD_OUT
from burnish.methods import pretrain
from burnish.recipes.language.places import KeyPath
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import CorpusReference, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.recipes.schema.text_pairs import TextPairs, of_pairs
from burnish.recipes.schema.training_stage import LeavesModels, measurements
from burnish.runs.names import MODEL_FOLDER


class PretrainStage(pretrain.Settings, TextPairs, LeavesModels):
    """Trains a new model on a corpus, whose tokenizer it has, or on pairs. A recipe with this stage needs no `model`.

    The product is `model/`: a Hugging Face folder where a model family can hold the architecture, else a folder of
    Burnish's own, which the stages behind it read, and no other program. On `pairs` of texts an encoder-decoder is
    trained, which `burnish.load_encoder_decoder` loads; no stage goes on from it.
    """

    type: Literal["pretrain"] = Field("pretrain", description="pretrain")
    corpus: CorpusReference | None = Field(None, description="corpus to train on: @STAGE; or set `pairs`")

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER, "encoder_decoder": MODEL_FOLDER}
    begins: ClassVar[bool] = True

    @property
    def makes(self) -> Mapping[ReferenceKind, str]:
        return {"model" if self.pairs is None else "encoder_decoder": MODEL_FOLDER}

    def problems(self, folder: Path) -> Iterator[tuple[KeyPath, str]]:
        yield from self.pair_problems(self.architecture)
        if (self.corpus is None) == (self.pairs is None):
            found = "neither corpus nor pairs" if self.pairs is None else "corpus and pairs"
            yield ("type",), f"got {found}; expected one of them: a `corpus` to read, or `pairs` of texts to learn from"

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
        name = (self.corpus or "").partition("/")[0]
        return producers.get(name[1:]) if name.startswith("@") else None

    def check(self, context: StageContext) -> None:
        if self.pairs is not None:
            self.check_pairs(context, self.training)
        else:
            pretrain.check(context.path(self.corpus), self.training)

    def work(self, context: StageContext) -> Work | None:
        if self.pairs is not None:
            return self.work_on_pairs(context, self.training)
        corpus, size = context.corpus(self.corpus), self.training.micro_batch_tokens
        steps, read = pretrain.planned(corpus, self.training, seed=context.seed)
        scored = measurements(self.training, len(steps)) * sum(part.n_tokens for part in corpus.heldout.values())
        return Work(steps=len(steps), trained=read, scored=scored, micro_batch=size)

    def run(self, context: StageContext) -> Metrics:
        if self.pairs is not None:
            return self.train_on_pairs(context, self.architecture, self)
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
        if self.pairs is not None:
            return {"n_parameters": metrics["parameters"], "heldout": {self.name or "pretrain": of_pairs(metrics)}}
        measured = ("perplexity", "perplexity_interval") if metrics["perplexity"] else ()
        return {"n_parameters": metrics["parameters"], **{name: metrics[name] for name in measured}}
