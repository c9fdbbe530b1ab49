"""Pairs of texts in a recipe: the keys of a stage that learns from them, and how they are read."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from burnish.errors import BurnishError
from burnish.methods import seq2seq
from burnish.methods.architecture import Architecture
from burnish.methods.settings import source
from burnish.methods.training import check_steps
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.new_tokenizer import NewTokenizer, TokenizerKey
from burnish.recipes.schema.stage import FileReference, Metrics, StageContext, StrictModel
from burnish.recipes.schema.training_stage import measurements
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    from burnish.checkpoints.facts import PairShape
    from burnish.datasets.text_pairs import PairExample, TextPair
    from burnish.recipes.plan.work import Work
    from burnish.text.tokenizer import Tokenizer

COUNTED_PAIRS = 2000
"""Pairs that are encoded to count tokens, by a tokenizer trained on them where it is new; the others are taken to be
like them."""


class TextPairs(seq2seq.PairSettings, StrictModel):
    """Keys of a stage that may learn from pairs of texts: with `pairs` it makes an encoder-decoder."""

    pairs: FileReference | None = Field(
        None, description="pairs of texts to train an encoder-decoder on: JSONL or Parquet rows with source and target"
    )
    columns: dict[str, str] = Field(
        {}, description="with `pairs`: names of the file's columns, for example {source: document, target: summary}"
    )
    tokenizer: TokenizerKey = Field(
        NewTokenizer.model_validate({}),
        description="with `pairs`: the settings of a new tokenizer, which is trained on the pairs, such as "
        "{vocab_size: 8192}; or a model, or folder of a tokenizer, that there is",
    )

    def pair_problems(self, architecture: Architecture) -> Iterator[tuple[KeyPath, str]]:
        """What is wrong with these keys, and the architecture beside them, in ways that types cannot say."""
        found = list(architecture.contradictions(pairs=self.pairs is not None))
        yield from ((("architecture", key), problem) for key, problem in found)
        if self.pairs is None:
            for key in sorted(self.model_fields_set & {*TextPairs.model_fields} - {"pairs"}):
                yield (key,), "is of an encoder-decoder, which learns from `pairs` of texts: remove it, or set pairs"
            return
        if isinstance(self.tokenizer, NewTokenizer):
            for path, text in self.tokenizer.contradictions():
                yield ("tokenizer", *path), text
        if not found:
            try:
                seq2seq.check_lengths(self.shape(architecture, 1), self)
            except BurnishError as error:
                key, _, problem = str(error).partition(": ")
                yield (key,), problem

    def shape(self, architecture: Architecture, vocab_size: int) -> "PairShape":
        """That of the model, for a vocabulary."""
        return architecture.encoder_decoder(vocab_size, window=seq2seq.longest(self), start_id=0)

    def read_pairs(self, context: StageContext) -> "list[TextPair]":
        """The pairs as the files have them."""
        from burnish.datasets.text_pairs import read_text_pairs

        return read_text_pairs(context.paths(str(self.pairs)), columns=self.columns)

    def tokenizer_of(self, pairs: "list[TextPair]", context: StageContext) -> "Tokenizer":
        """The tokenizer that there is, or one trained on the pairs, those that are held out left alone."""
        if not isinstance(self.tokenizer, NewTokenizer):
            return context.load_tokenizer(self.tokenizer)
        learned, _ = seq2seq.hold_out(pairs, self.heldout, seed=[context.seed, 1])
        return self.tokenizer.train([text for pair in learned for text in (pair.source, pair.target)], context)

    def check_pairs(self, context: StageContext, training: TrainingConfig) -> None:
        """Raise BurnishError where the pairs, or the tokenizer that there is, are of no use."""
        pairs = self.read_pairs(context)
        learned, _ = seq2seq.hold_out(pairs, self.heldout, seed=[context.seed, 1])
        check_steps(len(learned), training, source(pairs))
        if isinstance(self.tokenizer, NewTokenizer):
            self.tokenizer.check(context)
        elif (tokenizer := context.tokenizer(self.tokenizer)) is not None:
            seq2seq.start_of(tokenizer)

    def work_on_pairs(self, context: StageContext, training: TrainingConfig) -> "Work | None":
        """The work of training on the pairs; None where the tokenizer is not known yet."""
        from burnish.datasets.batches import shuffled_steps
        from burnish.datasets.text_pairs import text_pair_examples
        from burnish.recipes.plan.work import Work

        pairs = self.read_pairs(context)
        parts = seq2seq.hold_out(pairs, self.heldout, seed=[context.seed, 1])
        counted = [part[:: math.ceil(len(part) / COUNTED_PAIRS) or 1] for part in parts]
        if isinstance(self.tokenizer, NewTokenizer):
            texts = [text for pair in counted[0] for text in (pair.source, pair.target)]
            tokenizer: Tokenizer | None = self.tokenizer.train(texts, context)
        else:
            tokenizer = context.tokenizer(self.tokenizer)
        if tokenizer is None:
            return None
        limits = {"max_source": self.max_source, "max_target": self.max_target}
        learned, heldout = (text_pair_examples(some, tokenizer, **limits)[0] for some in counted)
        n_learned, n_heldout = (
            round(len(part) * len(examples) / max(1, len(some)))
            for part, some, examples in zip(parts, counted, (learned, heldout), strict=True)
        )
        reads, writes = _mean_lengths(learned)
        steps = shuffled_steps(n_learned, batch_size=training.batch_size, epochs=training.epochs, seed=context.seed)
        lengths = [1 + len(one.target) for one in learned]
        written = min(n_heldout, seq2seq.WRITTEN)
        longest = max((len(one.target) for one in heldout), default=0)
        return Work(
            steps=len(steps),
            trained=sum(lengths[number % len(lengths)] for step in steps for number in step),
            scored=round(measurements(training, len(steps)) * n_heldout * _mean_lengths(heldout)[1]),
            decoded=written * longest,
            rows=written,
            longest=longest + max((len(one.source) for one in heldout), default=0),
            micro_batch=round(training.micro_batch_tokens * writes / (reads + writes)) if learned else 0,
            sources=reads / writes,
        )

    def train_on_pairs(
        self, context: StageContext, architecture: Architecture, settings: seq2seq.LearnsPairs
    ) -> Metrics:
        """Train a new encoder-decoder on the pairs; returns what was measured."""
        pairs = self.read_pairs(context)
        tokenizer = self.tokenizer_of(pairs, context)
        model = seq2seq.new(
            architecture,
            tokenizer,
            settings,
            seed=context.seed,
            device=context.device,
            compute_dtype=context.compute_dtype,
        )
        n_parameters = sum(parameter.numel() for parameter in model.parameters())
        context.display.say(f"  an encoder-decoder of {n_parameters:,} parameters with random weights")
        measured = seq2seq.train(model, tokenizer, pairs, settings, context)
        return {**measured, "parameters": n_parameters, "vocab_size": tokenizer.vocab_size}


def _mean_lengths(examples: "Sequence[PairExample]") -> tuple[float, float]:
    """Tokens of a source, and of a target with what it begins with."""
    count = max(1, len(examples))
    return sum(len(one.source) for one in examples) / count, 1 + sum(len(one.target) for one in examples) / count


def of_pairs(metrics: Metrics) -> dict[str, Any]:
    """What is measured on held-out pairs, for the summary; nothing where none are held out."""
    if metrics["heldout_exact"] is None:
        return {}
    return {"loss": metrics["heldout_loss"], "exact": metrics["heldout_exact"]}
