"""Where a student's teacher is: in memory, in the student's own weights, or on disk as what it said.

Notable choices:
- a teacher in the student's weights is the student without its adapters: one set of weights serves both;
- what is stored of a distribution is its `top_k` most likely tokens and what all others have together, in shards under
  the hash of all that they depend on: a run that was killed computes no shard twice, and another learning rate none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from burnish.errors import BurnishError
from burnish.kept import DamagedError, open_tensors, write_tensors
from burnish.methods.answering import Load
from burnish.methods.reference_logps import weights_digest
from burnish.runs.hashes import digest
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.datasets.taught import TaughtExample
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer

SHARD = 64
"""Examples whose distributions are computed between two saves."""
IDS, LOGPS = "teacher_ids", "teacher_logps"
"""Columns of a batch: the tokens kept of each entry's distribution, `[n_entries, k]`, and `[n_entries, k + 1]`."""

OTHER_VOCABULARY = (
    "its vocabulary is not the student's, whose tokens it has to read: {}; take a teacher of the same family, or let "
    "it write answers (`sample`) and imitate those (`sft`)"
)


@dataclass
class TeacherSource:
    """A teacher that is loaded once it is needed.

    key: names its weights; where it is empty they are loaded and hashed.
    """

    load: Load
    student_tokenizer: "Tokenizer"
    key: str = ""
    loaded: "Decoder | None" = None

    def decoder(self) -> "Decoder":
        """The teacher. Raises BurnishError where its vocabulary is not the student's."""
        from burnish.text.vocabulary import difference

        if self.loaded is None:
            decoder, tokenizer = self.load()
            if (found := difference(self.student_tokenizer, tokenizer)) is not None:
                raise BurnishError(f"teacher: {OTHER_VOCABULARY.format(found)}")
            self.loaded = decoder.eval()
        return self.loaded

    def identity(self) -> str:
        """What tells its weights from others."""
        self.key = self.key or weights_digest(self.decoder())
        return self.key


@dataclass(frozen=True)
class Teacher:
    """A teacher in memory: `own`, or without one the student without its adapters."""

    student: "Decoder"
    own: "Decoder | None" = None

    @contextmanager
    def decoder(self) -> "Iterator[Decoder]":
        """The teacher, which drops nothing; within the block the student must not be used otherwise."""
        from burnish.nn.lora import adapters_disabled

        if self.own is not None:
            yield self.own
            return
        training = self.student.training
        try:
            with adapters_disabled(self.student.eval()):
                yield self.student
        finally:
            self.student.train(training)


class StoredTeacher:
    """What a teacher says of answers that are given, computed once; the teacher itself is needed no more.

    temperature: that of its distributions. top_k: tokens that are kept of each.
    """

    def __init__(
        self,
        run: Run,
        source: TeacherSource,
        student: "Decoder",
        examples: "Sequence[TaughtExample]",
        *,
        top_k: int,
        temperature: float,
        micro_batch_tokens: int,
    ) -> None:
        import torch

        from burnish import __version__

        computation = [
            __version__,
            torch.__version__,
            torch.get_num_threads(),
            str(student.device),
            str(student.compute_dtype),
            student.config.vocab_size,
            source.identity(),
            [top_k, temperature, micro_batch_tokens],
        ]
        self._files: list[Path] = []
        self.vocab_size = 0
        with run.display.bar("teacher", len(examples), "examples") as bar:
            for start in range(0, len(examples), SHARD):
                shard = examples[start : start + SHARD]
                identity = digest([*computation, [[one.seen_by_teacher, one.answer] for one in shard]])
                file = run.cache / "teacher_top_k" / f"{identity[:32]}.safetensors"
                if not self._is_kept(run, file, identity):
                    vocab_size = min(student.config.vocab_size, source.decoder().config.vocab_size)
                    tensors = _top_tokens(
                        source.decoder(), shard, vocab_size, min(top_k, vocab_size - 1), temperature, micro_batch_tokens
                    )
                    write_tensors(file, tensors, {"of": identity, "vocab_size": vocab_size})
                    self.vocab_size = vocab_size
                self._files.append(file)
                bar.update(start + len(shard))

    def _is_kept(self, run: Run, file: Path, identity: str) -> bool:
        """Whether an earlier run has left a shard; one that is not what was written is said, and made again."""
        if not file.exists():
            return False
        try:
            with open_tensors(file) as kept:
                if kept.facts["of"] != identity:
                    raise ValueError("it belongs to other examples")
                self.vocab_size = int(kept.facts["vocab_size"])
                return True
        except DamagedError as error:
            run.notice(f"{error}; computed again")
            return False

    def columns(self, numbers: Sequence[int]) -> "dict[str, Tensor]":
        """The columns `IDS` and `LOGPS` of a batch whose rows are the examples with these numbers."""
        import torch
        from safetensors import safe_open

        found: dict[str, list[Tensor]] = {IDS: [], LOGPS: []}
        for number in numbers:
            # Checked when the training began; one example is read, not its shard.
            with safe_open(self._files[number // SHARD], framework="pt", device="cpu") as kept:
                for name, values in found.items():
                    values.append(kept.get_tensor(f"{name}.{number % SHARD}"))
        return {name: torch.cat(values) for name, values in found.items()}


def _top_tokens(
    decoder: "Decoder",
    examples: "Sequence[TaughtExample]",
    vocab_size: int,
    k: int,
    temperature: float,
    micro_batch_tokens: int,
) -> "dict[str, Tensor]":
    """The tensors of a shard: for each example `IDS.number` int32 and `LOGPS.number` float32."""
    import torch

    from burnish.datasets.batches import Batch, micro_batches
    from burnish.nn.top_tokens import top_tokens

    tensors = {}
    sequences = [[*one.seen_by_teacher, *one.answer] for one in examples]
    with torch.inference_mode():
        for group in micro_batches([[sequence] for sequence in sequences], micro_batch_tokens):
            masks = [[place >= len(examples[i].seen_by_teacher) for place in range(len(sequences[i]))] for i in group]
            batch = Batch.from_rows([sequences[i] for i in group], masks).to(decoder.device)
            predictions = decoder.predictions(batch.forest, batch.scored).at(batch.entries)
            kept = top_tokens(predictions.of_first(vocab_size), k, temperature=temperature)
            sizes = [len(examples[i].answer) for i in group]
            for name, values in ((IDS, kept.ids.int()), (LOGPS, kept.logps)):
                for i, part in zip(group, values.cpu().split(sizes), strict=True):
                    tensors[f"{name}.{i}"] = part.clone()
    return tensors
