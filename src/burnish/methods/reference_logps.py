"""Log-probabilities under the model that a training starts from, computed once and kept on disk.

They depend on the model and the tokens alone. Another `beta`, loss or learning rate finds them in the run's `cache/`,
and a run that was killed computes no chunk twice.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from burnish.kept import DamagedError, open_tensors, write_tensors
from burnish.runs.hashes import digest
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from burnish.nn.decoder import Decoder
    from burnish.nn.encoder_decoder import EncoderDecoder

CHUNK = 64
"""Examples whose log-probabilities are computed between two saves."""


class Scored(Protocol):
    """An example: sequences of tokens, and masks that are True where a token is scored."""

    @property
    def sequences(self) -> list[list[int]]: ...
    @property
    def masks(self) -> list[list[bool]]: ...


class KeptReference:
    """A decoder as it is now, before it trains: what it says of examples is computed once.

    The examples' log-probabilities are in chunks in the run's `cache/`, under the hash of all that they depend on.
    """

    def __init__(self, run: Run, decoder: "Decoder", micro_batch_tokens: int) -> None:
        import torch

        from burnish import __version__

        self._run, self._decoder, self._micro_batch_tokens = run, decoder, micro_batch_tokens
        # How a batch is split changes the last bits, as do the number of threads and the kernels.
        self._computation = [
            __version__,
            torch.__version__,
            torch.get_num_threads(),
            str(decoder.device),
            weights_digest(decoder),
            str(decoder.compute_dtype),
            micro_batch_tokens,
        ]

    def logps(self, examples: Sequence[Scored]) -> "list[Tensor]":
        """For each example log p of its scored tokens in nats, sequence by sequence: float32 `[n_scored]`."""
        found: list[Tensor] = []
        with self._run.display.bar("reference", len(examples), "examples") as bar:
            for start in range(0, len(examples), CHUNK):
                chunk = examples[start : start + CHUNK]
                content = [[example.sequences, [list(map(int, mask)) for mask in example.masks]] for example in chunk]
                identity = digest([*self._computation, content])
                file = self._run.cache / "reference_logps" / f"{identity[:32]}.safetensors"
                logps = _kept(self._run, file, identity, len(chunk))
                if logps is None:
                    logps = scored_logps(self._decoder, chunk, self._micro_batch_tokens)
                    write_tensors(file, {str(number): values for number, values in enumerate(logps)}, {"of": identity})
                found += logps
                bar.update(start + len(chunk))
        return found


def weights_digest(decoder: "Decoder | EncoderDecoder") -> str:
    """SHA-256 of a model's shape and of all that it computes with."""
    import torch

    found = hashlib.sha256(repr(decoder.config).encode())
    for name, tensor in decoder.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()


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
    """As `KeptReference.logps`, computed now, by the decoder as it is."""
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
