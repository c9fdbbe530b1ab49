"""The optimizer steps on a corpus: each read from its files when it is asked for."""

from dataclasses import dataclass

from burnish.corpus.mix import Order
from burnish.corpus.token_corpus import TokenCorpus
from burnish.datasets.batches import Batch, document_batches


@dataclass(frozen=True, eq=False)
class StreamedSteps:
    """The micro-batches of each step, of which no other is in memory; any can be had without those before."""

    corpus: TokenCorpus
    order: Order
    micro_batch_tokens: int

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, step: int) -> list[Batch]:
        windows = [self.corpus[window] for window in self.order[step]]
        return document_batches(windows, micro_batch_tokens=self.micro_batch_tokens)
