"""GRPO equals a naive padded version in value and gradient for every option, and TRL's own loss and advantages."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from naive import step_of
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.forest import Forest
from burnish.nn.decoder import Decoder
from burnish.objectives.grpo import GRPO, clipped_policy_loss, group_advantages
from burnish.objectives.kl import Estimator
from burnish.objectives.objective import step_counts
from in_transformers import in_transformers
from tiny_models import tiny_decoder

PROMPTS = [list(range(20)), [5, 6, 7]]
ANSWERS = [[30, 31, 32], [33, 34], [35, 36, 37, 38, 39], [40, 41], [42], [43, 44, 45, 46]]
GROUP = 3
MAX_LENGTH = 6
REWARDS = torch.tensor([[1.0, 0.0, 0.5], [0.0, 0.0, 2.0]])
LENGTHS = torch.tensor([len(answer) for answer in ANSWERS])


@dataclass(frozen=True)
class Case:
    """Two groups, with what the sampling policy and the reference said: near enough to clip some tokens, not all."""

    decoder: Decoder
    old: list[Tensor]
    reference: list[Tensor]

    @classmethod
    def make(cls) -> "Case":
        decoder = tiny_decoder(0, 5)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            logps = [_alone(decoder, row) for row in range(6)]
        old = [values + 0.3 * torch.randn(values.shape, generator=generator) for values in logps]
        reference = [values + 0.5 * torch.randn(values.shape, generator=generator) for values in logps]
        return cls(decoder, old, reference)


def _sequence(row: int) -> list[int]:
    return PROMPTS[row // GROUP] + ANSWERS[row]


def _alone(decoder: Decoder, row: int) -> Tensor:
    """Log-probabilities of an answer's tokens from a plain causal transformer, a sequence of its own."""
    sequence = torch.tensor(_sequence(row))
    logits = decoder.logits(decoder(Forest(sequence, (len(sequence),), (-1,))))
    logps = logits[:-1].log_softmax(-1).gather(1, sequence[1:, None]).squeeze(1)
    return logps[-len(ANSWERS[row]) :]


def _padded(rows: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def _naive(
    case: Case,
    *,
    advantages: Tensor,
    loss_type: str = "grpo",
    level: str = "token",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    beta: float = 0.0,
    kl: str = "k3",
    corrected: bool = False,
    on_policy: bool = False,
) -> Tensor:
    """Equation 3 on padded rows `[rows, T]` with a mask, written from the papers."""
    logps = _padded([_alone(case.decoder, row) for row in range(6)])
    old = logps.detach() if on_policy else _padded(case.old)
    reference = _padded(case.reference)
    mask = _padded([torch.ones(int(length)) for length in LENGTHS])
    ratio = torch.exp(logps - old)
    if level == "sequence":
        ratio = torch.exp((mask * (logps - old)).sum(1) / LENGTHS)[:, None].expand_as(mask)
    if level == "whole_sequence":
        ratio = torch.exp((mask * logps).sum(1) - (mask * old).sum(1))[:, None].expand_as(mask)
        logps, reference = ((mask * values).sum(1)[:, None].expand_as(mask) for values in (logps, reference))
    advantages = advantages.flatten()[:, None]
    clipped = ratio.clip(1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high))
    gain = torch.minimum(ratio * advantages, clipped * advantages)
    r = torch.exp(reference - logps)
    divergence = {"k1": logps - reference, "k2": (logps - reference) ** 2 / 2, "k3": r - 1 - torch.log(r)}[kl]
    if corrected:
        divergence = divergence * ratio
    losses = mask * (beta * divergence - gain)
    if loss_type == "grpo":
        return (losses.sum(1) / mask.sum(1)).mean()
    if loss_type == "dr_grpo":
        return losses.sum() / (len(ANSWERS) * MAX_LENGTH)
    return losses.sum() / mask.sum()


def _batches(case: Case, advantages: Tensor, *, rows: list[list[int]], on_policy: bool) -> list[Batch]:
    """The step's rows in so many micro-batches, each with the columns that the stage gives it."""
    batches = []
    for members in rows:
        columns = {
            "advantages": advantages.flatten()[members],
            "reference_logps": torch.cat([case.reference[row] for row in members]),
        }
        if not on_policy:
            columns["old_logps"] = torch.cat([case.old[row] for row in members])
        masks = [[False] * len(PROMPTS[row // GROUP]) + [True] * len(ANSWERS[row]) for row in members]
        batches.append(Batch.from_rows([_sequence(row) for row in members], masks, columns=columns))
    return batches


def _ours(
    case: Case,
    objective: GRPO,
    advantages: Tensor,
    loss_type: str = "grpo",
    *,
    rows: list[list[int]] | None = None,
    on_policy: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """Loss and metrics as the training loop computes them."""
    batches = _batches(case, advantages, rows=rows or [list(range(6))], on_policy=on_policy)
    objective = replace(objective, loss_type=loss_type, max_completion_length=MAX_LENGTH)
    return step_of(case.decoder, objective, batches)


def _assert_same(decoder: Decoder, found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    gradients = [torch.autograd.grad(loss, list(decoder.parameters())) for loss in (found, expected)]
    assert any(gradient.norm() > 1e-3 for gradient in gradients[1])
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6


@pytest.mark.parametrize("rows", [[[0, 1, 2, 3, 4, 5]], [[0, 1, 2], [3, 4, 5]], [[4], [1, 2, 3], [0, 5]]])
@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("level", ["token", "sequence", "whole_sequence"])
def test_every_aggregation_and_ratio_equals_the_padded_version(level: str, loss_type: str, rows: list[Any]) -> None:
    case = Case.make()
    advantages = group_advantages(REWARDS)
    objective = GRPO(0.1, epsilon=0.1, importance_sampling_level=level)
    found, _ = _ours(case, objective, advantages, loss_type, rows=rows)
    expected = _naive(case, advantages=advantages, loss_type=loss_type, level=level, epsilon=0.1, beta=0.1)
    _assert_same(case.decoder, found, expected)


def test_a_whole_sequence_is_what_deepseek_r1_writes() -> None:
    """Equations 1 and 2, a completion at a time: no 1/|o| anywhere."""
    case = Case.make()
    advantages = group_advantages(REWARDS)
    total = torch.zeros(())
    for row in range(6):
        own, advantage = _alone(case.decoder, row).sum(), advantages.flatten()[row]
        ratio = (own - case.old[row].sum()).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(0.6, 1.4) * advantage)
        r = (case.reference[row].sum() - own).exp()
        total = total - (gain - 0.1 * (r - r.log() - 1)) / 6
    found, _ = _ours(case, GRPO(0.1, 0.4, importance_sampling_level="whole_sequence"), advantages)
    _assert_same(case.decoder, found, total)


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@pytest.mark.parametrize(("epsilon", "epsilon_high"), [(0.2, None), (0.2, 0.28), (0.05, 0.4)])
def test_every_estimator_and_clip_equals_the_padded_version(
    kl: Estimator, epsilon: float, epsilon_high: float | None
) -> None:
    case = Case.make()
    advantages = group_advantages(REWARDS, "none", baseline="leave_one_out")
    found, metrics = _ours(case, GRPO(0.3, epsilon, epsilon_high, kl_estimator=kl), advantages)
    options = {"epsilon": epsilon, "epsilon_high": epsilon_high, "beta": 0.3, "kl": kl}
    _assert_same(case.decoder, found, _naive(case, advantages=advantages, **options))
    without = [_naive(case, advantages=advantages, **options | {"beta": beta, "loss_type": "bnpo"}) for beta in (0, 1)]
    assert metrics["kl"] == pytest.approx((without[1] - without[0]).item(), rel=1e-4)
    assert 0 < metrics["clip_ratio/region_mean"] < 1


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_corrected_divergence_equals_the_padded_version(level: str) -> None:
    case = Case.make()
    advantages = group_advantages(REWARDS)
    objective = GRPO(0.3, use_bias_correction_kl=True, importance_sampling_level=level)
    found, _ = _ours(case, objective, advantages)
    _assert_same(case.decoder, found, _naive(case, advantages=advantages, beta=0.3, level=level, corrected=True))


def test_the_corrected_k3_has_the_gradient_of_the_divergence() -> None:
    """Its expectation over an older policy's samples; without the correction the gradient is another one."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(8, generator=generator, dtype=torch.float64, requires_grad=True)
    policy = logits.log_softmax(-1)
    old, reference = (torch.randn(8, generator=generator, dtype=torch.float64).log_softmax(-1) for _ in range(2))
    (expected,) = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)
    nothing = torch.empty(0, dtype=torch.int64)
    forest = Forest(nothing, (), ())
    columns = {"advantages": torch.zeros(1)}
    batches = [
        Batch(
            forest, nothing, torch.tensor([token]), torch.zeros(1, dtype=torch.int64), 1,
            columns | {"old_logps": old[token : token + 1], "reference_logps": reference[token : token + 1]},
        )
        for token in range(8)
    ]  # fmt: skip
    for corrected in (True, False):
        objective = GRPO(1.0, use_bias_correction_kl=corrected)
        loss = sum(old[token].exp() * objective(policy, batch)[0][0] for token, batch in enumerate(batches))
        (found,) = torch.autograd.grad(loss, logits, retain_graph=True)
        assert torch.allclose(found, expected, atol=1e-9) == corrected


def test_where_the_sampling_policy_is_left_out_it_is_the_current_one() -> None:
    case = Case.make()
    advantages = group_advantages(REWARDS)
    found, metrics = _ours(case, GRPO(0.1), advantages, on_policy=True)
    _assert_same(case.decoder, found, _naive(case, advantages=advantages, beta=0.1, on_policy=True))
    assert metrics["clip_ratio/region_mean"] == 0


def test_the_entropy_is_logged_where_the_outputs_have_it() -> None:
    case = Case.make()
    (batch,) = _batches(case, group_advantages(REWARDS), rows=[list(range(6))], on_policy=True)
    scores = case.decoder(batch.forest, scored=batch.scored, entropies=True)
    (loss,), metrics = GRPO()(scores, batch)
    assert loss.item() == GRPO()(scores.logps, batch)[0][0].item()
    expected = 0.0
    for row in range(6):
        sequence = torch.tensor(_sequence(row))
        logits = case.decoder.logits(case.decoder(Forest(sequence, (len(sequence),), (-1,))))
        expected += torch.distributions.Categorical(logits=logits[-len(ANSWERS[row]) - 1 : -1]).entropy().sum().item()
    assert metrics["entropy"].sum.item() == pytest.approx(expected, rel=1e-4)


def test_a_divergence_without_a_reference_is_refused() -> None:
    case = Case.make()
    (batch,) = _batches(case, group_advantages(REWARDS), rows=[list(range(6))], on_policy=True)
    bare = Batch(batch.forest, batch.scored, batch.entries, batch.rows, 6, {"advantages": torch.zeros(6)})
    for refused in (
        lambda: GRPO(0.1)(case.decoder.logps(batch.forest, batch.scored), bare),
        lambda: step_counts(GRPO(0.1), [batch, bare]),
    ):
        with pytest.raises(
            ValueError, match="no column 'reference_logps', which the objective reads; it has: advantages"
        ):
            refused()


GROUPS = st.integers(2, 6).flatmap(
    lambda size: st.lists(
        st.lists(st.floats(-5, 5, width=32), min_size=size, max_size=size), min_size=1, max_size=4
    ).map(torch.tensor)
)


@given(GROUPS, st.sampled_from(["group", "batch", "none"]), st.sampled_from(["mean", "leave_one_out"]))
def test_advantages_compare_within_the_group(rewards: Tensor, scale: Any, baseline: Any) -> None:
    advantages = group_advantages(rewards, scale, baseline=baseline)
    size = rewards.shape[1]
    for group, row in enumerate(rewards.tolist()):
        if baseline == "mean":
            expected = [reward - sum(row) / size for reward in row]
        else:
            expected = [reward - (sum(row) - reward) / (size - 1) for reward in row]
        if scale != "none":
            values = row if scale == "group" else rewards.flatten().tolist()
            mean = sum(values) / len(values)
            deviation = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
            expected = [value / (deviation + 1e-4) for value in expected]
        assert advantages[group].tolist() == pytest.approx(expected, rel=1e-2, abs=2e-2)


@given(GROUPS, st.floats(-3, 3, width=32), st.floats(0.5, 4, width=32))
def test_advantages_do_not_change_with_the_level_or_scale_of_rewards(rewards: Tensor, shift: float, by: float) -> None:
    level = group_advantages(rewards, "none")
    torch.testing.assert_close(group_advantages(rewards + shift, "none"), level, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(group_advantages(rewards * by, "none"), level * by, rtol=1e-3, atol=1e-4)
    assert level.sum(1).abs().max() < 1e-4
    assert group_advantages(rewards, "group").abs().max() <= (rewards.shape[1] - 1) ** 0.5 * 1.01 + 1e-3


def test_equal_rewards_have_no_advantage() -> None:
    for scale, baseline in itertools.product(("group", "batch", "none"), ("mean", "leave_one_out")):
        assert not group_advantages(torch.full((2, 4), 0.7), scale, baseline=baseline).abs().max() > 1e-3
    with pytest.raises(ValueError, match="at least two completions"):
        group_advantages(torch.zeros(3, 1))


@given(st.floats(-2, 2), st.sampled_from([-3.0, -0.01, 0.0, 0.5, 2.0]), st.floats(0.01, 0.9), st.floats(0.01, 3))
def test_a_clipped_token_has_no_gradient(log_ratio: float, advantage: float, low: float, high: float) -> None:
    value = torch.tensor([log_ratio], dtype=torch.float64, requires_grad=True)
    terms = clipped_policy_loss(value, torch.tensor([advantage], dtype=torch.float64), epsilon=low, epsilon_high=high)
    (gradient,) = torch.autograd.grad(terms.losses.sum(), value)
    clipped = bool(terms.low_clipped | terms.high_clipped)
    assert gradient.item() == pytest.approx(0 if clipped else -advantage * value.exp().item())
    ratio = value.exp().item()
    assert clipped == ((ratio > 1 + high and advantage > 0) or (ratio < 1 - low and advantage < 0))


@pytest.fixture(scope="module")
def trl_trainer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Any]:
    """TRL's trainer over the same weights, given the same completions."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    from datasets import Dataset

    names = {**{f"w{i}": i for i in range(48)}, "</s>": 48, "<pad>": 49}
    words = Tokenizer(WordLevel(names, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    case = Case.make()
    trainer = GRPOTrainer(
        in_transformers(case.decoder),
        reward_funcs=[lambda completions, **_: REWARDS.flatten().tolist()],
        args=GRPOConfig(
            str(tmp_path_factory.mktemp("trl")),
            per_device_train_batch_size=6,
            num_generations=GROUP,
            max_completion_length=MAX_LENGTH,
            report_to=[],
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": "w1"}] * 2),
        processing_class=PreTrainedTokenizerFast(
            tokenizer_object=words, eos_token="</s>", pad_token="<pad>", unk_token="w0"
        ),
        rollout_func=lambda _prompts, _trainer: {
            "prompt_ids": [PROMPTS[row // GROUP] for row in range(6)],
            "completion_ids": ANSWERS,
            "logprobs": [[0.0] * len(answer) for answer in ANSWERS],
        },
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return case, trainer


def _trl_inputs(case: Case, trainer: Any) -> dict[str, Tensor]:
    beta, trainer.beta = trainer.beta, 0.0  # with a divergence it would ask a reference model, which it does not have
    inputs = trainer._generate_and_score_completions([{"prompt": "w1"}] * 6)
    trainer.beta = beta
    return {
        **inputs,
        "old_per_token_logps": _padded(case.old),
        "ref_per_token_logps": _padded(case.reference),
    }


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_equal_trl(trl_trainer: tuple[Case, Any], scale: Any) -> None:
    case, trainer = trl_trainer
    trainer.scale_rewards = scale
    theirs = _trl_inputs(case, trainer)["advantages"]
    torch.testing.assert_close(group_advantages(REWARDS, scale).flatten(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss_type", ["grpo", "bnpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize(("epsilon_high", "corrected"), [(0.2, True), (0.4, False)])
def test_loss_and_metrics_equal_trl(
    trl_trainer: tuple[Case, Any], loss_type: str, level: Any, epsilon_high: float, corrected: bool
) -> None:
    case, trainer = trl_trainer
    trainer.scale_rewards, trainer.beta, trainer.loss_type = "group", 0.07, loss_type
    trainer.importance_sampling_level, trainer.epsilon_low, trainer.epsilon_high = level, 0.2, epsilon_high
    trainer.args.use_bias_correction_kl = corrected
    trainer._metrics["train"].clear()
    theirs = trainer._compute_loss(trainer.model, _trl_inputs(case, trainer))
    objective = GRPO(0.07, 0.2, epsilon_high, use_bias_correction_kl=corrected, importance_sampling_level=level)
    ours, metrics = _ours(case, objective, group_advantages(REWARDS), loss_type)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-4, abs=1e-6)
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    # Where the ratio is that of a sequence TRL's ratios are means over sequences, ours over tokens.
    names = ["kl"] + [f"clip_ratio/{kind}_mean" for kind in ("low", "high", "region") if level == "token"]
    for name in names:
        assert metrics[name] == pytest.approx(logged[name], rel=1e-4), name


def test_everything_logged_has_the_name_that_trl_gives_it(trl_trainer: tuple[Case, Any], tmp_path: Path) -> None:
    from burnish.datasets.rollout import Rollout

    case, trainer = trl_trainer
    trainer._metrics["train"].clear()
    trainer._compute_loss(trainer.model, _trl_inputs(case, trainer))
    theirs = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    rewards = {"<lambda>": 1.0}
    rollout = Rollout([0, 1], PROMPTS, ANSWERS, torch.zeros(6, dtype=torch.bool), REWARDS.view(1, 6), rewards)
    _, metrics = _ours(case, GRPO(), group_advantages(REWARDS))
    for name, value in {**rollout.metrics(), **metrics}.items():
        if name in ("sampled_groups", "kl") or name.startswith("clip_ratio"):
            continue
        assert value == pytest.approx(theirs[name], rel=1e-5), name
    assert {name for name in metrics if name.startswith("clip_ratio")} <= theirs.keys()
