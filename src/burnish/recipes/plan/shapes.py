"""The shape of the model that each stage works on, known before anything runs, also where a stage is to make it."""

from pathlib import Path

from burnish.checkpoints.facts import ModelShape, load_tokenizer, read_config
from burnish.corpus import token_corpus
from burnish.errors import BurnishError
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.stages.corpus import CorpusStage, NewTokenizer
from burnish.recipes.stages.pretrain import PretrainStage

UNKNOWN_VOCABULARY, UNKNOWN_WINDOW = 32_768, 2048
"""Of a corpus that a script of the recipe has still to make."""


def main_shape(plan: Plan) -> ModelShape:
    """The shape of the model that the recipe starts from, else of the first that it makes from nothing."""
    return _Shapes(plan).main()


def shapes(plan: Plan) -> dict[str, ModelShape]:
    """By stage, the shape of the model that it makes from nothing, trains, or looks at first.

    What a file outside of the run cannot tell, such as an adapter, is taken to be the recipe's. A converted model is
    taken to be as before, and a vocabulary that is still to be trained to be as large as it may become.
    """
    found = _Shapes(plan)
    return {stage.name: found.of(stage) for stage in plan.stages}


class _Shapes:
    """Shapes of a plan's models; each file is read once."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.files: dict[Path, ModelShape | None] = {}

    def main(self) -> ModelShape:
        if self.plan.model is not None and (shape := self._read(self.plan.model)) is not None:
            return shape
        return self.of(next(stage for stage in self.plan.stages if stage.config.begins))

    def of(self, stage: PlannedStage) -> ModelShape:
        if isinstance(stage.config, PretrainStage):
            window = stage.config.window(self.plan.configs) or UNKNOWN_WINDOW
            return stage.config.architecture.config(self._vocabulary(stage), window=window)
        models = [item for item in stage.inputs if item.kind == "model" and not isinstance(stage.config, CorpusStage)]
        for item in sorted(models, key=lambda item: item.field != "model")[:1]:
            if item.producer is not None:
                return self.of(self.plan.stage(item.producer))
            if (shape := self._read(item.paths[0])) is not None:
                return shape
        return self.main()

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
        if isinstance(maker.config.tokenizer, NewTokenizer):
            return maker.config.tokenizer.vocab_size
        (tokenizer,) = (item for item in maker.inputs if item.field == "tokenizer")
        if tokenizer.producer is not None:
            return self.of(self.plan.stage(tokenizer.producer)).vocab_size
        return load_tokenizer(tokenizer.paths[0]).vocab_size
