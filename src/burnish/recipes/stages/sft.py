"""sft: supervised fine-tuning on conversations; only the assistant's tokens are learned."""

from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.errors import DataError
from burnish.evaluation.limits import of_conversations
from burnish.recipes.schema.prompted import Prompted
from burnish.recipes.schema.shown_answers import ShownAnswers, last_turn, say_limit
from burnish.recipes.schema.stage import FileReference, Metrics, StageContext
from burnish.recipes.schema.training_stage import TrainingStage
from burnish.runs.names import DATA_REPORT_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burnish.datasets.batches import Batch
    from burnish.datasets.examples import Example
    from burnish.nn.decoder import Decoder
    from burnish.recipes.plan.work import Work


class SftStage(Prompted, TrainingStage):
    """Imitates the assistant of the conversations; what they all begin with is computed once a batch."""

    type: Literal["sft"] = Field("sft", description="sft")
    data: FileReference = Field(description="conversations: OpenAI messages, ShareGPT, Alpaca or prompt and completion")
    columns: dict[str, str] = Field({}, description="names of the file's columns, for example {prompt: question}")
    max_length: int = Field(2048, ge=2, description="longest example, in tokens")
    on_long: Literal["drop", "cut"] = Field("drop", description="what happens to longer examples")
    heldout: float = Field(0.02, ge=0, lt=0.5, description="share of the conversations kept for measuring the loss")

    def check(self, context: StageContext) -> None:
        from burnish.datasets.examples import conversation_examples
        from burnish.datasets.rows import read_conversations

        conversations = self.with_system(context, read_conversations(context.paths(self.data), columns=self.columns))
        # A conversation may become an example an answer.
        answers = sum(message["role"] == "assistant" for one in conversations for message in one.messages)
        self.check_steps(max(answers, len(conversations)), self.data)
        encode = partial(conversation_examples, max_length=self.max_length, on_long=self.on_long)
        context.probe(encode, conversations, str(self.model))

    def work(self, context: StageContext) -> "Work | None":
        from burnish.datasets.examples import conversation_examples
        from burnish.datasets.rows import read_conversations

        tokenizer = context.tokenizer(str(self.model))
        if tokenizer is None:
            return None
        rows = self.with_system(context, read_conversations(context.paths(self.data), columns=self.columns))
        examples, _ = conversation_examples(rows, tokenizer, max_length=self.max_length, on_long=self.on_long)
        return self.training_work(context, [[example.tokens] for example in examples])

    def run(self, context: StageContext) -> Metrics:
        from burnish.datasets.batches import Steps, shuffled_steps
        from burnish.datasets.examples import conversation_examples, hold_out
        from burnish.datasets.rows import read_conversations
        from burnish.objectives.language_model import language_model

        decoder, tokenizer = context.load(self.model)
        conversations = self.with_system(context, read_conversations(context.paths(self.data), columns=self.columns))
        examples, kept = conversation_examples(
            conversations, tokenizer, max_length=self.max_length, on_long=self.on_long
        )
        context.report(kept)
        if len(examples) < 2:
            raise DataError(
                f"{self.data}: {len(examples)} usable of {len(conversations)} rows, and two are needed; raise "
                f"max_length ({self.max_length}), add rows, or see why they were dropped: "
                f"{context.folder / DATA_REPORT_FILE}"
            )
        examples, heldout = hold_out(examples, self.heldout, seed=[context.seed, 1])
        if self.heldout and not heldout:
            n_rows = len({example.conversation for example in examples})
            context.display.say(f"  heldout {self.heldout:g} of {n_rows} conversations is none: no loss is measured")
        before = context.remembered("loss-before", lambda: self.loss(decoder, heldout))
        plan = shuffled_steps(
            len(examples), batch_size=self.training.batch_size, epochs=self.training.epochs, seed=context.seed
        )
        steps = Steps(plan, lambda numbers: self.batches([examples[number] for number in numbers]))
        say_limit(context, of_conversations(len(examples)))
        shown = ShownAnswers(context, decoder, tokenizer, heldout or examples, last_turn, heldout=bool(heldout))
        self.make_trainable(context, decoder)
        report = self.fit(context, decoder, language_model, steps)
        self.save(context, decoder, tokenizer)
        shown.write()
        return {
            "steps": report.steps,
            **report.metrics,
            "examples": len(examples),
            "dropped": len(kept.dropped),
            "cut": len(kept.cut),
            "heldout_loss": {"before": before, "after": self.loss(decoder, heldout)},
        }

    def batches(self, examples: "Sequence[Example]") -> "list[Batch]":
        from burnish.datasets.batches import supervised_batches

        return supervised_batches(examples, micro_batch_tokens=self.training.micro_batch_tokens)

    def loss(self, decoder: "Decoder", examples: "Sequence[Example]") -> float | None:
        """Mean loss of an answer's token in nats; None without examples."""
        import torch

        from burnish.objectives.language_model import language_model
        from burnish.objectives.objective import measure

        if not examples:
            return None
        with torch.inference_mode():
            batches = (batch.to(decoder.device) for batch in self.batches(examples))
            results = ((batch, decoder.logps(batch.forest, batch.scored)) for batch in batches)
            return measure(language_model, results)["loss"]
