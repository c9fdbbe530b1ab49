"""Log-probabilities under the model that a training starts from, computed once and kept on disk.

They depend on the model and the tokens alone. Another `beta`, loss or learning rate finds them in the run's `cache/`,
and a run that was killed computes no chunk twice.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from burnish.recipes.hashes import digest
from burnish.recipes.stage import StageContext

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
    context: StageContext, model: str | None, decoder: "Decoder", examples: Sequence[Scored], micro_batch_tokens: int
) -> "list[Tensor]":
    """For each example log p of its scored tokens in nats, sequence by sequence: float32 `[n_scored]`.

    model: the reference that `decoder` was loaded from and has not been changed since.
    """
    from safetensors.torch import load_file, save_file

    from burnish.files import atomic_file

    assert model is not None
    folder = context.folder.parent / "cache" / "reference_logps"
    # How a batch is split changes the last bits, so that the size of a micro-batch belongs to the key.
    computation = [context.input_keys[model], str(decoder.compute_dtype), micro_batch_tokens]
    found: list[Tensor] = []
    with context.display.bar("reference", len(examples), "examples") as bar:
        for start in range(0, len(examples), CHUNK):
            chunk = examples[start : start + CHUNK]
            content = [[example.sequences, [sum(mask) for mask in example.masks]] for example in chunk]
            file = folder / f"{digest([*computation, content])[:32]}.safetensors"
            if not file.exists():
                logps = scored_logps(decoder, chunk, micro_batch_tokens)
                with atomic_file(file) as temporary:
                    save_file({str(number): values for number, values in enumerate(logps)}, temporary)
            stored = load_file(file)
            found += [stored[str(number)] for number in range(len(chunk))]
            bar.update(start + len(chunk))
    return found


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
