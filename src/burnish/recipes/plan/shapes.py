"""The shape of the model that each stage works on, known before anything runs, also where a stage is to make it."""

from dataclasses import replace
from pathlib import Path

from burnish.checkpoints.facts import ModelShape, PairShape, load_tokenizer, read_config
from burnish.corpus import token_corpus
from burnish.errors import BurnishError
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.schema.new_tokenizer import NewTokenizer
from burnish.recipes.stages.corpus import CorpusStage
from burnish.recipes.stages.pretrain import PretrainStage

UNKNOWN_VOCABULARY, UNKNOWN_WINDOW = 32_768, 2048
"""Of a corpus that a script of the recipe has still to make."""


def main_shape(plan: Plan) -> ModelShape | PairShape:
    """The shape of the model that the recipe starts from, else of the first that it makes from nothing."""
    return _Shapes(plan).main()


def shapes(plan: Plan) -> dict[str, ModelShape | PairShape]:
    """By stage, the shape of the model that it makes from nothing, trains, or looks at first.

    What a file outside of the run cannot tell, such as an adapter, is taken to be the recipe's. A converted model is
    taken to be as before, and a vocabulary that is still to be trained or extended to be as large as it may become.
    """
    found = _Shapes(plan)
    return {stage.name: found.of(stage) for stage in plan.stages}


class _Shapes:
    """Shapes of a plan's models; each file is read once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.files: dict[Path, ModelShape | None] = {}

    def main(self) -> ModelShape | PairShape:
        if self.plan.model is not None and (shape := self._read(self.plan.model)) is not None:
            return shape
        return self.of(next(stage for stage in self.plan.stages if stage.config.begins))

    def of(self, stage: PlannedStage) -> ModelShape | PairShape:
        if isinstance(stage.config, PretrainStage) and stage.config.pairs is not None:
            vocabulary = self._of_tokenizer(stage, stage.config.tokenizer)
            return stage.config.shape(stage.config.architecture, vocabulary)
        if isinstance(stage.config, PretrainStage):
            window = stage.config.window(self.plan.configs) or UNKNOWN_WINDOW
            return stage.config.architecture.config(self._vocabulary(stage), window=window)
        models = [item for item in stage.inputs if item.kind == "model" and not isinstance(stage.config, CorpusStage)]
        for item in sorted(models, key=lambda item: item.field != "model")[:1]:
            if item.producer is not None:
                return self._made_by(self.plan.stage(item.producer))
            if (shape := self._read(item.paths[0])) is not None:
                return shape
        return self.main()

    def _made_by(self, stage: PlannedStage) -> ModelShape | PairShape:
        shape, new = self.of(stage), stage.config.new_tokens
        return replace(shape, vocab_size=shape.vocab_size + new) if new and isinstance(shape, ModelShape) else shape

    def _read(self, path: Path) -> ModelShape | None:
        if path not in self.files:
            try:
                self.files[path] = read_config(path)
            except BurnishError:
                if path == self.plan.model:
                    raise
                self.files[path] = None  # said when the stage loads it
        return self.files[path]

    def _vocabulary(self, stage: PlannedStage) -> int:
        """Tokens of the tokenizer of the corpus that a stage reads."""
        (corpus,) = (item for item in stage.inputs if item.kind == "corpus")
        if corpus.producer is None:
            return token_corpus.load_tokenizer(corpus.paths[0]).vocab_size
        maker = self.plan.stage(corpus.producer)
        if not isinstance(maker.config, CorpusStage):
            return UNKNOWN_VOCABULARY
        return self._of_tokenizer(maker, maker.config.tokenizer)

    def _of_tokenizer(self, stage: PlannedStage, tokenizer: str | NewTokenizer) -> int:
        """Tokens of the tokenizer that a stage names, or those that a new one may have."""
        if isinstance(tokenizer, NewTokenizer):
            return tokenizer.vocab_size
        (found,) = (item for item in stage.inputs if item.field == "tokenizer")
        if found.producer is None:
            return load_tokenizer(found.paths[0]).vocab_size
        shape = self._made_by(self.plan.stage(found.producer))
        return shape.vocab_size if isinstance(shape, ModelShape) else shape.decoder.vocab_size
