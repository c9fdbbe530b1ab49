"""Log-probabilities under the model that a training starts from, computed once and kept on disk.

They depend on the model and the tokens alone. Another `beta`, loss or learning rate finds them in the run's `cache/`,
and a run that was killed computes no chunk twice.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from burnish.kept import DamagedError, open_tensors, write_tensors
from burnish.runs.hashes import digest
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.nn.decoder import Decoder

CHUNK = 64
"""Examples whose log-probabilities are computed between two saves."""


class Scored(Protocol):
    """An example: sequences of tokens, and masks that are True where a token is scored."""

    @property
    def sequences(self) -> list[list[int]]: ...
    @property
    def masks(self) -> list[list[bool]]: ...


def reference_logps(
    run: Run, decoder: "Decoder", model_key: str, examples: Sequence[Scored], micro_batch_tokens: int
) -> "list[Tensor]":
    """For each example log p of its scored tokens in nats, sequence by sequence: float32 `[n_scored]`.

    decoder: the reference. model_key: names its weights, as the hash of its files does.
    """
    import torch

    from burnish import __version__

    folder = run.cache / "reference_logps"
    # How a batch is split changes the last bits, as do the number of threads and the kernels.
    computation = [
        __version__,
        torch.__version__,
        torch.get_num_threads(),
        str(decoder.device),
        model_key,
        str(decoder.compute_dtype),
        micro_batch_tokens,
    ]
    found: list[Tensor] = []
    with run.display.bar("reference", len(examples), "examples") as bar:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            content = [[example.sequences, [list(map(int, mask)) for mask in example.masks]] for example in chunk]
            identity = digest([*computation, content])
            file = folder / f"{identity[:32]}.safetensors"
            logps = _kept(run, file, identity, len(chunk))
            if logps is None:
                logps = scored_logps(decoder, chunk, micro_batch_tokens)
                write_tensors(file, {str(number): values for number, values in enumerate(logps)}, {"of": identity})
            found += logps
            bar.update(start + len(chunk))
    return found


def _kept(run: Run, file: Path, identity: str, count: int) -> "list[Tensor] | None":
    """What an earlier call has kept of these examples; None, and a word, where it is not what was written."""
    if not file.exists():
        return None
    try:
        with open_tensors(file) as stored:
            if stored.facts["of"] != identity:
                raise ValueError("it belongs to other examples")
            return [stored[str(number)] for number in range(count)]
    except DamagedError as error:
        run.notice(f"{error}; computed again")
        return None


def scored_logps(decoder: "Decoder", examples: Sequence[Scored], micro_batch_tokens: int) -> "list[Tensor]":
    """As `reference_logps`, computed now, by the decoder as it is."""
    import torch

    from burnish.datasets.batches import Batch, micro_batches

    result = [torch.empty(0)] * len(examples)
    decoder.eval()
    with torch.inference_mode():
        for group in micro_batches([example.sequences for example in examples], micro_batch_tokens):
            batch = Batch.from_rows(
                [sequence for number in group for sequence in examples[number].sequences],
                [mask for number in group for mask in examples[number].masks],
            ).to(decoder.device)
            logps = decoder.logps(batch.forest, batch.scored)[batch.entries].cpu()
            sizes = [sum(sum(mask) for mask in examples[number].masks) for number in group]
            for number, values in zip(group, logps.split(sizes), strict=True):
                result[number] = values.clone()
    return result
