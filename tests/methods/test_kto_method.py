"""KTO's steps: whose answers are exchanged, and a baseline that is the policy's at the step."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from burnish.datasets.examples import LabelledExample
from burnish.forest import Forest
from burnish.methods.kto import KtoSteps, other_rows
from burnish.methods.reference_logps import KeptReference
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from tiny_models import tiny_decoder


def token_logps(decoder: Decoder, tokens: list[int]) -> Tensor:
    """Log-probabilities of a sequence's tokens but the first, by a plain causal transformer."""
    sequence = torch.tensor(tokens)
    with torch.no_grad():
        logits = decoder.logits(decoder(Forest(sequence, (len(tokens),), (-1,))))
    return logits[:-1].log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)


def answer_logp(decoder: Decoder, prompt: list[int], answer: list[int]) -> float:
    return token_logps(decoder, prompt + answer)[len(prompt) - 1 :].sum().item()


def test_a_mismatched_answer_is_that_of_the_row_before() -> None:
    assert other_rows([[4, 2, 7], [1, 0], [3]]) == [[7, 4, 2], [0, 1], [0]]
    assert other_rows([[1], [0]]) == [[0], [1]]


def test_the_baseline_is_the_policy_s_at_the_step(tmp_path: Path) -> None:
    """On answers to other prompts, with the weights as the steps before left them."""
    examples = [LabelledExample([1, 2, i], [20 + i, 30 + i, i][: 1 + i % 3], i % 2 == 0) for i in range(6)]
    policy, reference = tiny_decoder(1, 5), tiny_decoder(1, 5)
    kept = KeptReference(Run(tmp_path / "run" / "kto"), policy, micro_batch_tokens=2048)
    steps = KtoSteps.of(policy, kept, examples, [[0, 3, 4], [5, 1, 2]], micro_batch_tokens=2048)
    policy.load_state_dict(tiny_decoder(0, 5).state_dict())
    (batch,) = steps[1]
    ratios = [
        answer_logp(policy, examples[row].prompt, examples[other].answer)
        - answer_logp(reference, examples[row].prompt, examples[other].answer)
        for row, other in ((5, 2), (1, 5), (2, 1))
    ]
    expected = max(sum(ratios) / 3, 0.0)
    assert expected > 0, "this test would pass without a baseline"
    assert batch.columns["kl"].item() == pytest.approx(expected, rel=1e-4)
