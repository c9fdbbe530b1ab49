"""What textbooks compute: log-probabilities of one sequence at a time, put into padded matrices."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.examples import PreferenceExample
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.objectives.objective import Objective, Outputs, batch_metrics, loss_of, step_counts, step_metrics

PAIRS = [
    PreferenceExample(list(range(20)), [30, 31, 32], [33, 34]),
    PreferenceExample(list(range(20)), [35], [36, 37, 38, 39]),
    PreferenceExample([5, 6, 7], [40, 41], [40, 42, 43]),
]


def naive_logps(decoder: Decoder, prompt: list[int], answer: list[int]) -> Tensor:
    """Log-probabilities of the answer's tokens from a plain causal transformer, one sequence at a time."""
    sequence = torch.tensor(prompt + answer)
    logits = decoder.logits(decoder(Forest(sequence, (len(sequence),), (-1,))))
    logps = logits[:-1].log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)
    return logps[len(prompt) - 1 :]


def padded_logps(decoder: Decoder, answers: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Log-probabilities `[answers, longest]` of (prompt, answer), zero where padded, and the mask of the tokens."""
    rows = [naive_logps(decoder, prompt, answer) for prompt, answer in answers]
    logps = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    lengths = torch.tensor([len(row) for row in rows])
    return logps, torch.arange(logps.shape[1]) < lengths[:, None]


def pair_answers(pairs: list[PreferenceExample], which: str) -> list[tuple[list[int], list[int]]]:
    """Prompt and `chosen` or `rejected` answer of each pair."""
    return [(pair.prompt, getattr(pair, which)) for pair in pairs]


def pair_reference_logps(reference: Decoder, pairs: list[PreferenceExample]) -> list[Tensor]:
    """For each pair the log-probabilities of its answers' tokens under `reference`, chosen first."""
    return [
        torch.cat([naive_logps(reference, pair.prompt, answer) for answer in (pair.chosen, pair.rejected)]).detach()
        for pair in pairs
    ]


def step_of(
    decoder: Decoder,
    objective: Objective[Outputs],
    batches: Sequence[Batch],
    outputs: Callable[[Batch], Outputs] | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss and metrics of a step as the training loop computes them, the loss with its graph."""
    outputs = outputs or (lambda batch: decoder.logps(batch.forest, batch.scored))
    counts = step_counts(objective, batches)
    results = [objective(outputs(batch), batch) for batch in batches]
    loss = torch.stack([loss_of(losses, counts) for losses, _ in results]).sum()
    metrics = step_metrics([batch_metrics(objective, *pair) for pair in zip(results, batches, strict=True)])
    assert metrics.pop("loss") == pytest.approx(loss.item(), rel=1e-5, abs=1e-7)
    return loss, metrics


def gradients(decoder: Decoder, loss: Tensor) -> list[Tensor]:
    """The loss's gradient by each of the decoder's parameters."""
    return list(torch.autograd.grad(loss, list(decoder.parameters())))


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    """Gradients that differ by rounding only."""
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-7
