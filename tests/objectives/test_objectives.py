"""Losses equal their textbook versions, over padded batches, in value and gradient, and TRL's in value."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from burnish.datasets.batches import Batch, preference_batches, supervised_batches
from burnish.datasets.examples import Example, PreferenceExample
from burnish.nn.decoder import Decoder
from burnish.objectives.dpo import DPO, dpo_loss
from burnish.objectives.language_model import language_model
from in_transformers import in_transformers
from tiny_models import tiny_decoder

PAIRS = [
    PreferenceExample(list(range(20)), [30, 31, 32], [33, 34]),
    PreferenceExample(list(range(20)), [35], [36, 37, 38, 39]),
    PreferenceExample([5, 6, 7], [40, 41], [40, 42, 43]),
]


def _naive_logps(decoder: Decoder, prompt: list[int], answer: list[int]) -> Tensor:
    """Log-probabilities of the answer's tokens from a plain causal transformer, one sequence at a time."""
    from burnish.forest import Forest

    sequence = torch.tensor(prompt + answer)
    logits = decoder.logits(decoder(Forest(sequence, (len(sequence),), (-1,))))
    logps = logits[:-1].log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)
    return logps[len(prompt) - 1 :]


def _gradients(decoder: Decoder, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(decoder.parameters())))


def _assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-5 * b.norm() + 1e-7


@pytest.mark.parametrize("micro_batch_tokens", [1000, 30])
def test_language_model_loss_is_the_mean_over_all_answer_tokens(micro_batch_tokens: int) -> None:
    decoder = tiny_decoder(scale=5)
    examples = [
        Example(pair.prompt + pair.chosen, [False] * len(pair.prompt) + [True] * len(pair.chosen)) for pair in PAIRS
    ]
    batches = supervised_batches(examples, micro_batch_tokens=micro_batch_tokens)
    assert len(batches) == (1 if micro_batch_tokens == 1000 else 2)
    weight = sum(batch.weight for batch in batches)
    losses = [language_model(decoder.logps(b.forest, b.scored), b)[0] for b in batches]
    found = torch.stack(losses).sum() / weight
    expected = -torch.cat([_naive_logps(decoder, pair.prompt, pair.chosen) for pair in PAIRS]).mean()
    torch.testing.assert_close(found, expected)
    _assert_close(_gradients(decoder, found), _gradients(decoder, expected))


def _dpo(
    decoder: Decoder, reference: Decoder, beta: float, tokens: int, pairs: list[PreferenceExample] = PAIRS
) -> tuple[Tensor, dict[str, float], list[Batch]]:
    reference_logps = [
        torch.cat([_naive_logps(reference, pair.prompt, answer) for answer in (pair.chosen, pair.rejected)]).detach()
        for pair in pairs
    ]
    batches = preference_batches(pairs, micro_batch_tokens=tokens, reference_logps=reference_logps)
    results = [DPO(beta)(decoder.logps(b.forest, b.scored), b) for b in batches]
    weight = sum(batch.weight for batch in batches)
    metrics = {name: sum(extra[name].item() for _, extra in results) / weight for name in results[0][1]}
    return torch.stack([loss for loss, _ in results]).sum() / weight, metrics, batches


@pytest.mark.parametrize("tokens", [1000, 30])
def test_dpo_equals_equation_7_on_whole_sequences(tokens: int) -> None:
    decoder, reference, beta = tiny_decoder(0, 5), tiny_decoder(1, 5), 0.3
    found, metrics, batches = _dpo(decoder, reference, beta, tokens)
    if tokens == 1000:
        assert batches[0].forest.n_tokens < sum(len(p.prompt) + len(p.chosen) + len(p.rejected) for p in PAIRS)
    losses, margins = [], []
    for pair in PAIRS:
        ratio = [
            _naive_logps(decoder, pair.prompt, answer).sum()
            - _naive_logps(reference, pair.prompt, answer).sum().detach()
            for answer in (pair.chosen, pair.rejected)
        ]
        margins.append(beta * (ratio[0] - ratio[1]))
        losses.append(-torch.log(torch.sigmoid(margins[-1])))
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(found, expected)
    _assert_close(_gradients(decoder, found), _gradients(decoder, expected))
    assert metrics["rewards/margins"] == pytest.approx(torch.stack(margins).mean().item(), rel=1e-4)
    assert metrics["rewards/accuracies"] == pytest.approx(sum(m.item() > 0 for m in margins) / len(margins))
    assert metrics["rewards/chosen"] - metrics["rewards/rejected"] == pytest.approx(
        metrics["rewards/margins"], rel=1e-4
    )
    assert metrics["kl"] > 0


def test_dpo_at_the_reference_is_log_two_with_zero_kl() -> None:
    decoder = tiny_decoder(0, 5)
    loss, metrics, _ = _dpo(decoder, decoder, 0.1, 1000)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), rel=1e-5)
    assert metrics["kl"] == pytest.approx(0, abs=1e-5)


def test_dpo_is_finite_where_the_naive_formula_overflows() -> None:
    extreme = torch.tensor([-2000.0]), torch.tensor([0.0])
    terms = dpo_loss(*extreme, torch.zeros(1), torch.zeros(1), beta=1.0)
    assert terms.losses.item() == pytest.approx(2000.0)


def test_dpo_equals_trl(tmp_path: Path) -> None:
    """TRL's own trainer on the same weights, pairs and reference."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    from datasets import Dataset

    eos, pad = 48, 49
    names = {**{f"w{i}": i for i in range(eos)}, "</s>": eos, "<pad>": pad}
    words = Tokenizer(WordLevel(names, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>", unk_token="w0")
    decoder, reference, beta = tiny_decoder(0, 5), tiny_decoder(1, 5), 0.3

    def text(tokens: list[int]) -> str:
        return "".join(f" w{token}" for token in tokens)

    rows = [{"prompt": text(p.prompt), "chosen": text(p.chosen), "rejected": text(p.rejected)} for p in PAIRS]
    trainer = DPOTrainer(
        in_transformers(decoder),
        in_transformers(reference),
        args=DPOConfig(
            str(tmp_path),
            beta=beta,
            per_device_train_batch_size=3,
            report_to=[],
            use_cpu=True,
            disable_dropout=True,
            max_length=None,
            dataloader_pin_memory=False,
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, batch).item()
    # TRL closes every answer with the end-of-sequence token; ours get the same.
    closed = [PreferenceExample(p.prompt, [*p.chosen, eos], [*p.rejected, eos]) for p in PAIRS]
    ours, _, _ = _dpo(decoder, reference, beta, 1000, closed)
    assert ours.item() == pytest.approx(theirs, rel=1e-4)
