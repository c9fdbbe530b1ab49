"""Methods, scoring and generation on a device that is not the CPU: nothing mixes devices, and the results are the same.

The device is pretended (`pretended_cuda`). FlexAttention alone is not run: it is compiled for a GPU. The reference
backend stands in for it, on both devices; what it reads of a forest, its mask, is tested apart.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from test_rollouts import Words
from torch import Tensor, nn

import burnish
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import pack
from burnish.datasets.batches import Batch, Steps, document_batches
from burnish.datasets.examples import Example, LabelledExample, PreferenceExample, Prompt
from burnish.datasets.rankings import RankedExample
from burnish.datasets.rows import Conversation, Task
from burnish.datasets.taught import TaughtExample
from burnish.datasets.text_pairs import PairExample
from burnish.datasets.token_labels import LabelledSequence
from burnish.evaluation.perplexity import perplexity
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.generation.engine import generate, generate_from
from burnish.generation.request import Completion
from burnish.generation.sampling import Sampling
from burnish.methods import (
    cpt,
    distill,
    dpo,
    grpo,
    kto,
    ppo,
    pretrain,
    process_reward_model,
    reward_model,
    seq2seq,
    sft,
)
from burnish.methods.reference_logps import KeptReference, scored_logps
from burnish.methods.sequences import answer_logps, answer_rewards
from burnish.methods.teachers import Teacher
from burnish.methods.training import fit
from burnish.nn.attention import cpu, flex, reference
from burnish.nn.config import AttentionRule
from burnish.nn.decoder import Decoder
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.nn.lora import LoraConfig, add_lora
from burnish.nn.process_reward import ProcessRewardModel
from burnish.nn.scalar import ScalarModel
from burnish.objectives.kto import KTO
from burnish.objectives.language_model import language_model
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import WeightedJudge
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig
from burnish.training.loop import train
from pretended_cuda import CPU, CUDA, MixedDevicesError, PretendedCuda, pretended_cuda
from tiny_models import encoder_decoder, tiny_decoder
from workshop import make_workshop, tiny_tokenizer

PROMPTS = [[1, 2, 3, 4, 5], [1, 2, 3, 9], [7, 8]]
ANSWERS = [[6, 7], [8], [9, 10, 11]]
# An epsilon as large as the gradients: a step is then smooth in them, and equal where they are nearly equal.
TRAINING = {"learning_rate": 0.1, "eps": 0.1, "batch_size": 3, "schedule": "constant", "checkpoint_seconds": 1e9}
RUN = "run"


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedCuda]:
    for backend in (flex, cpu):
        monkeypatch.setattr(backend, "attention", reference.attention)
    with pretended_cuda() as device:
        yield device


def about(measured: Any) -> Any:
    """What equals the same measurements by another order of sums, without how long it took."""
    if isinstance(measured, dict):
        return {name: about(value) for name, value in measured.items() if "second" not in name}
    return pytest.approx(measured, rel=1e-3, abs=1e-4) if isinstance(measured, float) else measured


def decoder(*, lora: bool = False) -> Decoder:
    model = tiny_decoder(scale=3, n_layers=1)
    if lora:
        add_lora(model, LoraConfig(rank=2, dropout=0.2), seed=0)
    return model


def _sft(model: Decoder, run: Run, **changes: Any) -> Any:
    settings = sft.Settings.model_validate({"training": TRAINING, **changes})
    masked = [([False] * len(p) + [True] * len(a)) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    examples = [Example([*p, *a], mask) for p, a, mask in zip(PROMPTS, ANSWERS, masked, strict=True)]
    assert sft.loss(model, examples, settings)
    return sft.learn(model, examples, settings, run)


def _corpus() -> TokenCorpus:
    return TokenCorpus(8, 50, {"domain": pack([range(1, 20)], 8), "general": pack([range(20, 30)], 8)}, {})


def _cpt(model: Decoder, run: Run) -> Any:
    settings = cpt.Settings.model_validate({"training": TRAINING})
    steps, _ = cpt.planned(_corpus(), settings, run)
    return fit(model, language_model, steps, settings, run)


def _pretrain(model: Decoder, run: Run) -> Any:
    settings = pretrain.Settings.model_validate({"training": {**TRAINING, "batch_size": 5}})
    steps, _ = pretrain.planned(_corpus(), settings.training, seed=0)
    return pretrain.learn(model, steps, settings, run)


def _dpo(model: Decoder, run: Run, **changes: Any) -> Any:
    settings = dpo.Settings.model_validate({"training": TRAINING, **changes})
    pairs = [PreferenceExample(p, a, [*a[::-1], 12]) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    logps = scored_logps(model, pairs, 64) if settings.has_reference else None
    return dpo.learn(model, pairs, logps, settings, run)


def _kto(model: Decoder, run: Run) -> Any:
    settings = kto.Settings.model_validate({"training": TRAINING})
    examples = [LabelledExample(p, a, len(a) > 1) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    steps = kto.KtoSteps.of(model, KeptReference(run, model, 64), examples, [range(3)], 64)
    return fit(model, KTO(settings.beta, 1.0, 1.0), steps, settings, run)


def _reward_model(model: Decoder, run: Run, **changes: Any) -> Any:
    settings = reward_model.Settings.model_validate({"training": TRAINING, **changes})
    rankings = [RankedExample(p, [a, [12], [13, 14]]) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    return reward_model.learn(ScalarModel(model, seed=0), rankings, settings, run)


def _process_reward_model(model: Decoder, run: Run, **changes: Any) -> Any:
    settings = process_reward_model.Settings.model_validate({"training": TRAINING, **changes})
    examples = [
        LabelledSequence([*p, *a, 12], [False] * len(p) + [True] * (len(a) + 1), [0.5] * len(a) + [1.0], len(p))
        for p, a in zip(PROMPTS, ANSWERS, strict=True)
    ]
    return process_reward_model.learn(ProcessRewardModel(model, seed=0), examples, settings, run)


def _parity(answers: Sequence[Answer]) -> list[float]:
    return [float(int(answer.text.split()[0]) % 2) if answer.text else 0.0 for answer in answers]


SAMPLED = {"num_generations": 3, "max_new_tokens": 3, "rollouts": 1, "training": {**TRAINING, "batch_size": 2}}


def _by_sampling(learn: Callable[..., Any], settings: type[Any], model: Decoder, run: Run, **changes: Any) -> Any:
    tasks = [Task([{"role": "user", "content": f"question {n}"}], {"n": n}) for n in range(2)]
    prompts = [Prompt(PROMPTS[n], {"n": n}) for n in range(2)]
    judges = [WeightedJudge("parity", _parity)]
    environment = Environment(Words(), tasks, prompts, judges)
    return learn(model, environment, settings.model_validate({**SAMPLED, **changes}), run)


def _distill(model: Decoder, run: Run, **changes: Any) -> Any:
    settings = distill.Settings.model_validate({"training": TRAINING, "max_new_tokens": 3, **changes})
    task = Task([{"role": "user", "content": "question"}], {})
    examples = [TaughtExample(task, p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    teacher = Teacher(model, tiny_decoder(1, scale=3, n_layers=1).to(model.device.type))
    return distill.learn(model, tiny_tokenizer(), teacher, examples, settings, run)


def _seq2seq(model: EncoderDecoder, run: Run) -> Any:
    settings = seq2seq.Settings.model_validate({"training": TRAINING})
    pairs = [PairExample(p, a) for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    assert seq2seq.loss(model, pairs, settings)
    steps = Steps([range(3)], partial(seq2seq.batches, pairs, settings, model.config.prefix))
    return fit(model, language_model, steps, settings, run, outputs=partial(seq2seq.logps, model))


_grpo, _ppo = partial(_by_sampling, grpo.learn, grpo.Settings), partial(_by_sampling, ppo.learn, ppo.Settings)
STEPS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any]]] = {
    "sft": (decoder, _sft),
    "sft with adapters": (partial(decoder, lora=True), partial(_sft, mean_over="examples")),
    "cpt": (decoder, _cpt),
    "pretrain": (decoder, _pretrain),
    "kto": (decoder, _kto),
    "reward_model": (decoder, _reward_model),
    "process_reward_model": (decoder, _process_reward_model),
    "reward_model of lists": (decoder, partial(_reward_model, loss_type="plackett_luce")),
    "grpo": (decoder, partial(_grpo, beta=0.1, log_entropy=True)),
    "ppo": (decoder, partial(_ppo, num_ppo_epochs=1, target_kl=0.1, use_score_scaling=True)),
    "ppo with adapters": (
        partial(decoder, lora=True),
        partial(_ppo, num_ppo_epochs=1, critic={"type": "network"}, entropy_coef=0.1),
    ),
    "distill": (decoder, partial(_distill, lmbda=0.0)),
    "distill of its own answers": (decoder, partial(_distill, lmbda=1.0)),
    "seq2seq": (lambda: encoder_decoder(scale=3), _seq2seq),
    **{
        f"dpo {kind}": (decoder, partial(_dpo, loss_type=kind))
        for kind in ("sigmoid", "hinge", "ipo", "robust", "simpo", "orpo", "cpo")
    },
}


OFTEN = ("sft", "ppo", "seq2seq")
"""What is run with the fast tests; a fault in what all share shows in one of these."""


@pytest.mark.parametrize(
    "method", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in STEPS]
)
def test_a_step_there_is_the_step_of_the_cpu(method: str, tmp_path: Path, cuda: PretendedCuda) -> None:
    make, learn = STEPS[method]
    found, weights = [], []
    for device in (CPU, CUDA):
        torch.manual_seed(0)  # of the dropout of adapters, where a method scores while it may drop
        model = make().to(device.type)
        measured = learn(model, Run(tmp_path / device.type / RUN))
        found.append(measured if isinstance(measured, dict) else measured.metrics)
        assert {parameter.device for parameter in model.parameters()} == {device}
        weights.append({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()})
    assert about(found[1]) == about(found[0])
    for name, tensor in weights[1].items():
        torch.testing.assert_close(tensor, weights[0][name], rtol=1e-3, atol=1e-4)
    assert cuda.transfers["to device"]


@pytest.mark.slow
@pytest.mark.parametrize("lora", [False, True])
def test_a_whole_method_runs_there(lora: bool, tmp_path: Path, cuda: PretendedCuda) -> None:
    """With what is measured before and after, the shown answers and the saved model."""
    folder = make_workshop(tmp_path / "workshop").parent / "model"
    changes: dict[str, Any] = {"lora": {"rank": 2}} if lora else {}
    training = {"batch_size": 4, "epochs": 1, "eval_steps": 1, "keep_best": True, "snapshot_steps": 1}
    settings = sft.Settings.model_validate({"heldout": 0.3, "training": training, **changes})
    turns = [("user", "1 mod 3?"), ("assistant", "SELECT 1")]
    rows = [Conversation([{"role": role, "content": text} for role, text in turns])] * 6
    found = []
    for device in ("cpu", "cuda"):
        model, tokenizer = burnish.load(folder, compute_dtype="float32", device="cpu")
        found.append(sft.train(model.to(device), tokenizer, rows, settings, Run(tmp_path / device / "sft")))
    assert about(found[1]) == about(found[0])
    burnish.load(tmp_path / "cuda" / "sft" / "model", compute_dtype="float32", device="cpu")


SAMPLINGS = {
    "greedy": Sampling(temperature=0, max_new_tokens=6),
    "truncated": Sampling(top_k=20, top_p=0.9, temperature=0.7, max_new_tokens=6, stop=frozenset({3, 4, 5, 6})),
    "penalized": Sampling(repetition_penalty=1.3, max_new_tokens=4, stop=frozenset(range(10))),
}


def _texts(found: list[list[Completion]]) -> list[list[int]]:
    return [list(completion.tokens) for group in found for completion in group]


@pytest.mark.parametrize(
    ("kind", "adapted"),
    [
        pytest.param(kind, adapted, marks=[] if kind == "truncated" and not adapted else pytest.mark.slow)
        for kind in SAMPLINGS
        for adapted in (False, True)
    ],
)
def test_it_generates_there_as_on_the_cpu(kind: str, adapted: bool, cuda: PretendedCuda) -> None:
    there, here = (
        generate(decoder(lora=adapted).to(device), PROMPTS, SAMPLINGS[kind], n=2, seed=1) for device in ("cuda", "cpu")
    )
    assert _texts(there) == _texts(here)


@pytest.mark.slow
def test_it_writes_from_sources_there_as_on_the_cpu(cuda: PretendedCuda) -> None:
    there, here = (
        generate_from(encoder_decoder(scale=3).to(device), PROMPTS, SAMPLINGS["truncated"], n=2, seed=1)
        for device in ("cuda", "cpu")
    )
    assert _texts(there) == _texts(here)


SCORES: dict[str, Callable[[Decoder], Sequence[Any]]] = {
    "log-probabilities": lambda model: torch.cat(answer_logps(model, PROMPTS, ANSWERS)).tolist(),
    "rewards": lambda model: answer_rewards(ScalarModel(model).eval(), PROMPTS, ANSWERS),
    "perplexity": lambda model: [perplexity(model, PROMPTS)],
}


@pytest.mark.parametrize("kind", SCORES)
def test_it_scores_there_as_on_the_cpu(kind: str, cuda: PretendedCuda) -> None:
    assert SCORES[kind](decoder().to("cuda")) == pytest.approx(SCORES[kind](decoder()), rel=1e-4)


def _steps(n: int) -> list[list[Batch]]:
    return [document_batches(PROMPTS, micro_batch_tokens=4) for _ in range(n)]


@pytest.mark.slow
def test_a_training_that_is_gone_on_with_counts_its_steps_on_the_device(tmp_path: Path, cuda: PretendedCuda) -> None:
    """A fused optimizer reads its count on the device; one on the host would be read as an address."""
    config = TrainingConfig(checkpoint_seconds=0)

    def end(progress: Any) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"folder": tmp_path, "seed": 0, "identity": "run"}
    with pytest.raises(KeyboardInterrupt):
        train(decoder().to("cuda"), language_model, _steps(3), config, on_progress=end, **options)
    assert train(decoder().to("cuda"), language_model, _steps(3), config, **options).steps == 3


@pytest.mark.parametrize("rule", [AttentionRule(), AttentionRule(window=3), AttentionRule(causal=False)])
def test_what_flex_attention_reads_of_a_forest_lies_there(
    rule: AttentionRule, cuda: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest = Forest.from_segments([(range(6), -1), (range(3), 0), (range(4), 0)]).to(torch.device("cuda"))

    def dense(sees: Any, _batch: None, _heads: None, queries: int, keys: int, device: str) -> Tensor:
        query, key = torch.arange(queries, device=device)[:, None], torch.arange(keys, device=device)[None]
        seen: Tensor = sees(None, None, query, key)
        return seen

    monkeypatch.setattr(flex, "create_block_mask", dense)
    mask: Any = flex.block_mask(forest, rule)
    assert mask.device == CUDA
    assert mask.tolist() == reference.mask(forest.to(CPU), rule).tolist()


def test_a_tensor_that_was_made_on_the_wrong_device_is_found(
    tmp_path: Path, cuda: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistakes that all of this looks for: a tensor without `device=`, in the network and in a loss."""
    counts = Batch.row_lengths.func
    monkeypatch.setattr(Batch, "row_lengths", property(lambda batch: counts(batch).cpu()))
    with pytest.raises(MixedDevicesError, match="mixes devices"):
        _sft(decoder().to("cuda"), Run(tmp_path / RUN), mean_over="examples")
    monkeypatch.setattr(Forest, "positions", property(lambda forest: torch.arange(forest.n_tokens)))
    with pytest.raises(MixedDevicesError, match="mixes devices"):
        perplexity(decoder().to("cuda"), PROMPTS)


ONES: dict[str, Callable[[str], Tensor]] = {
    "vector": lambda device: torch.ones(3, device=device),
    "scalar": lambda device: torch.ones((), device=device),
    "indices": lambda device: torch.zeros(3, dtype=torch.long, device=device),
}


@pytest.mark.parametrize(
    ("refused", "operation"),
    [
        (True, lambda: ONES["vector"]("cuda") + ONES["vector"]("cpu")),
        (True, lambda: torch.cat([ONES["vector"]("cuda"), ONES["vector"]("cpu")])),
        (True, lambda: ONES["scalar"]("cuda") * ONES["vector"]("cpu")),
        (True, lambda: torch.nn.functional.embedding(ONES["indices"]("cpu"), torch.ones(2, 2, device="cuda"))),
        (True, lambda: ONES["vector"]("cuda").index_add_(0, ONES["indices"]("cpu"), ONES["vector"]("cuda"))),
        (True, lambda: ONES["vector"]("cpu")[ONES["indices"]("cuda")]),
        (True, lambda: ONES["vector"]("cuda").numpy()),
        (False, lambda: ONES["vector"]("cuda") * ONES["scalar"]("cpu")),
        (False, lambda: ONES["vector"]("cuda")[ONES["indices"]("cpu")]),
        (False, lambda: ONES["vector"]("cuda") + 1),
        (False, lambda: ONES["vector"]("cuda").cpu() + ONES["vector"]("cpu")),
        (False, lambda: ONES["vector"]("cpu").to("cuda") + ONES["vector"]("cuda")),
    ],
)
def test_the_pretended_device_refuses_what_a_gpu_refuses(
    refused: bool, operation: Callable[[], Any], cuda: PretendedCuda
) -> None:
    if refused:
        with pytest.raises((MixedDevicesError, TypeError), match=r"mixes devices|can't convert cuda:0"):
            operation()
    else:
        operation()
