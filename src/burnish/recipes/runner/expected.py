"""What a run has still to make, as far as its size can be known before: the corpora of documents that are there."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from burnish.recipes.plan.plan import Input
from burnish.recipes.runner.state import RunState
from burnish.recipes.schema.stage import DATA_KINDS
from burnish.recipes.stages.corpus import CorpusStage

if TYPE_CHECKING:
    from burnish.corpus.token_corpus import TokenCorpus


@dataclass
class ExpectedCorpora:
    """Corpora of about the size of those that a run will make, each made up once."""

    state: RunState
    found: "dict[str, TokenCorpus | None]" = field(default_factory=dict)

    def of(self, item: Input) -> "TokenCorpus | None":
        """The one that a stage will read; None for one that is there already, or whose documents are not yet."""
        if item.producer is None or self.state.is_there(item):
            return None
        if item.producer not in self.found:
            stage = self.state.plan.stage(item.producer)
            there = all(self.state.is_there(read) for read in stage.inputs if read.kind in DATA_KINDS)
            context = replace(self.state.context(stage), retokenized=self.state.plan.retokenized(stage, about=True))
            config = stage.config if there else None
            self.found[item.producer] = config.expected(context) if isinstance(config, CorpusStage) else None
        return self.found[item.producer]
