"""dpo: direct preference optimization (Rafailov 2023, arXiv:2305.18290) on pairs of answers."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.recipes.hashes import digest
from burnish.recipes.stage import Metrics, PreferencesReference, StageContext
from burnish.recipes.training_stage import TrainingStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from burnish.datasets.examples import PreferenceExample
    from burnish.nn.decoder import Decoder

REFERENCE_CHUNK = 64
"""Pairs whose reference log-probabilities are computed between two saves."""


class DpoStage(TrainingStage):
    """Prefers the chosen answers; the model that training starts from is the reference.

    The reference's log-probabilities are computed once and kept in the run's `cache/`, so that another `beta` or
    learning rate finds them there.
    """

    type: Literal["dpo"] = Field("dpo", description="dpo")
    pairs: PreferencesReference = Field(description="preferences: prompt, chosen, rejected; for example @sample")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    beta: float = Field(0.1, gt=0, description="how much a departure from the reference costs")
    max_length: int = Field(2048, ge=2, description="longest prompt with its answer, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer pairs")

    def check(self, context: StageContext) -> None:
        from burnish.datasets.rows import read_preferences

        read_preferences(context.paths(self.pairs), columns=self.columns)

    def run(self, context: StageContext) -> Metrics:
        from burnish.datasets.batches import Steps, preference_batches, shuffled_steps
        from burnish.datasets.examples import preference_examples
        from burnish.datasets.rows import read_preferences
        from burnish.objectives.dpo import DPO

        decoder, tokenizer = context.load(self.model)
        preferences = read_preferences(context.paths(self.pairs), columns=self.columns)
        pairs, kept = preference_examples(preferences, tokenizer, max_length=self.max_length, on_long=self.on_long)
        context.display.say("  " + kept.summary().replace("\n", "\n  "))
        if not pairs:
            raise DataError(
                f"{self.pairs}: no usable pair; raise max_length ({self.max_length}) or sample more answers"
            )
        reference = self.reference_logps(context, decoder, pairs)
        plan = shuffled_steps(
            len(pairs), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        steps = Steps(
            plan,
            lambda numbers: preference_batches(
                [pairs[number] for number in numbers],
                micro_batch_tokens=self.training.micro_batch_tokens,
                reference_logps=[reference[number] for number in numbers],
            ),
        )
        self.make_trainable(context, decoder)
        report = self.fit(context, decoder, DPO(self.beta), steps)
        self.save(context, decoder, tokenizer)
        return {"steps": report.steps, "pairs": len(pairs), "dropped": len(kept.dropped), **report.metrics}

    def reference_logps(
        self, context: StageContext, decoder: "Decoder", pairs: "Sequence[PreferenceExample]"
    ) -> "list[Tensor]":
        """For each pair the log-probabilities of both answers' tokens under `decoder`, chosen first."""
        from safetensors.torch import load_file, save_file

        from burnish.files import atomic_file

        assert self.model is not None
        folder = context.folder.parent / "cache" / "reference_logps"
        found: list[Tensor] = []
        with context.display.bar("reference", len(pairs), "pairs") as bar:
            for start in range(0, len(pairs), REFERENCE_CHUNK):
                chunk = pairs[start : start + REFERENCE_CHUNK]
                content = [[list(part) for part in (pair.prompt, pair.chosen, pair.rejected)] for pair in chunk]
                dtype = str(decoder.compute_dtype)
                file = folder / f"{digest([context.input_keys[self.model], dtype, content])[:32]}.safetensors"
                if not file.exists():
                    logps = answer_logps(decoder, chunk, self.training.micro_batch_tokens)
                    with atomic_file(file) as temporary:
                        save_file({str(number): values for number, values in enumerate(logps)}, temporary)
                stored = load_file(file)
                found += [stored[str(number)] for number in range(len(chunk))]
                bar.update(start + len(chunk))
        return found


def answer_logps(decoder: "Decoder", pairs: "Sequence[PreferenceExample]", micro_batch_tokens: int) -> "list[Tensor]":
    """For each pair log p of its answers' tokens, in nats, chosen first: float32 `[n_chosen + n_rejected]`."""
    import torch

    from burnish.datasets.batches import Batch, micro_batches

    result = [torch.empty(0)] * len(pairs)
    with torch.inference_mode():
        for group in micro_batches([pair.sequences for pair in pairs], micro_batch_tokens):
            batch = Batch.from_rows(
                [sequence for number in group for sequence in pairs[number].sequences],
                [mask for number in group for mask in pairs[number].masks],
            ).to(decoder.device)
            logps = decoder.logps(batch.forest, batch.scored)[batch.entries].cpu()
            sizes = [len(pairs[number].chosen) + len(pairs[number].rejected) for number in group]
            for number, values in zip(group, logps.split(sizes), strict=True):
                result[number] = values.clone()
    return result
