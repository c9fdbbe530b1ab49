"""`burnish lab frontier` at toy scale: its rewards, divergences and frontiers are right, and nothing is done twice."""

import itertools
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

import burnish
from burnish.errors import BurnishError, DataError
from burnish.lab.frontier import experiment as frontier
from burnish.lab.frontier import setting as frontier_setting
from burnish.lab.frontier.experiment import FULL, QUICK, Scale, make_setting
from burnish.lab.frontier.methods import Learning, Trainer, Training
from burnish.lab.frontier.plan import Costs, FrontierPlan, Shares
from burnish.lab.frontier.results import BEST_OF, Dominance, Results, best_of, findings
from burnish.lab.frontier.results import frontier as frontier_of
from burnish.lab.frontier.setting import FrontierOutcome, Samples, Sentiment, Setting, load_openings
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from conducting import conducted

PLAIN = ("the", "cat", "sat", "on", "a", "mat", "by", "old", "house", "with", "red", "door", "and", "blue", "roof")
FELT = ("great", "happy", "love", "wonderful", "terrible", "sad", "hate", "awful")
TOY = Scale(
    opening_tokens=(4, 6),
    new_tokens=3,
    trained_layers=1,
    samples=3,
    gap=0.05,
    seeds=2,
    values={
        "DPO": (0.1, 1.0),
        "IPO": (1.0,),
        "PPO, true reward": (0.1,),
        "PPO, learned reward": (0.1,),
        "SFT on the preferred": (0.0,),
    },
    evaluations={"DPO": 1, "IPO": 1, "PPO, true reward": 2, "PPO, learned reward": 1, "SFT on the preferred": 2},
    best_of=(1, 2),
    learning=Learning(batch_size=4, rollout_prompts=6, ppo_epochs=2, learning_rate=1e-2, ppo_learning_rate=1e-2),
    shares=Shares(least_prompts=8, least_heldout=4, least_answers=8, least_steps=2, least_rollouts=2),
)


def random_decoder(config: DecoderConfig, *, seed: int) -> Decoder:
    """Weights large enough that what trains changes what is said."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return decoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model over words, some of which VADER knows, in `model`, and a text of their sentences."""
    folder = tmp_path_factory.mktemp("frontier")
    words = ["<the end>", "?", *PLAIN, *(word.capitalize() for word in PLAIN), *FELT]
    backend = Backend(WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens(["<the end>"])
    tokenizer = Tokenizer(backend=backend, source="words", eos_id=0, stop_ids=frozenset([0]))
    config = DecoderConfig(
        vocab_size=len(words), d_model=16, n_layers=2, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32, max_positions=64
    )
    burnish.save(random_decoder(config, seed=0), tokenizer, folder / "model")
    rng = np.random.default_rng(0)
    lines = (" ".join(rng.choice(PLAIN, 9)).capitalize() + "." for _ in range(2000))
    (folder / "text.txt").write_text("\n\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def setting(folder: Path) -> Setting:
    return make_setting(
        folder / "model", folder / "text.txt", TOY, seed=0, device=torch.device("cpu"), compute_dtype=torch.float32
    )


def run(folder: Path, runs: Path, **options: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {"minutes": 1e-6, "seed": 5, "scale": TOY, "threads": 1}
    options = {"model": folder / "model", "text_file": folder / "text.txt"} | defaults | options
    files = conducted(frontier.FrontierExperiment, runs, **options)
    assert [file.name for file in files] == ["frontier.md", "frontier.json", "frontier.svg"]
    return json.loads((runs / "frontier.json").read_text())


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(folder, tmp_path_factory.mktemp("whole"))


def test_the_reward_is_vaders() -> None:
    good, bad, plain = Sentiment()(["a great day, I love it", "a terrible, sad day", "the cat sat on a mat"])
    assert good > 0.5
    assert bad < -0.5
    assert plain == 0.0


def test_without_vader_or_a_model_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontier, "installed_checkpoint", lambda: None)
    with pytest.raises(BurnishError, match="--model"):
        conducted(frontier.FrontierExperiment, tmp_path, minutes=1, seed=0, scale=TOY)
    monkeypatch.setattr(frontier_setting, "find_spec", lambda _: None)
    with pytest.raises(BurnishError, match=r"pip install 'burnish\[lab\]'"):
        conducted(frontier.FrontierExperiment, tmp_path, minutes=1, seed=0, scale=TOY)


def test_openings_are_cut_sentences_on_sides_that_no_order_decides(folder: Path, setting: Setting) -> None:
    openings = setting.openings
    texts = {" ".join(sentence.split()[:4]).lower() for sentence in (folder / "text.txt").read_text().split(".")}
    for tokens in openings.train + openings.heldout:
        assert 4 <= len(tokens) <= 6
        assert " ".join(setting.tokenizer.decode(tokens).split()[:4]).lower() in texts
    assert 0.15 < len(openings.heldout) / len(openings.train + openings.heldout) < 0.35
    other = load_openings(folder / "text.txt", setting.tokenizer, lengths=(4, 4), seed=9)
    sides = [{tuple(tokens[:4]) for tokens in side} for side in (openings.heldout, other.heldout)]
    assert sides[0] == sides[1]


def test_a_text_without_prose_is_refused(tmp_path: Path, setting: Setting) -> None:
    (tmp_path / "numbers.txt").write_text("1 2 3 4 5 6 7 8 9\n\n" * 5000)
    with pytest.raises(DataError, match=r"numbers\.txt: 0 sentences"):
        load_openings(tmp_path / "numbers.txt", setting.tokenizer, lengths=(4, 6), seed=0)


def test_a_pair_is_the_best_and_the_worst_that_differ_by_more_than_the_gap() -> None:
    samples = Samples([[[1], [2], [3]], [[4], [5], [6]]], [[0.0] * 3] * 2, [[0.5, -0.1, 0.55], [0.2, 0.3, 0.25]])
    (found,) = samples.pairs([[7], [8]], gap=0.15)
    assert (found.prompt, found.chosen, found.rejected) == ([7], [3], [2])


def test_reward_and_divergence_are_those_of_the_samples(setting: Setting) -> None:
    policy = random_decoder(setting.reference.config, seed=3)
    found = setting.evaluate(policy, answers=12, seed=1)
    prompts = setting.openings.heldout[:12]
    samples = setting.sample(policy, prompts, n=1, seed=1)
    rewards, ratios = [], []
    for prompt, (answer,) in zip(prompts, samples.answers, strict=True):
        words = [setting.tokenizer.decode([token]) for token in [*prompt, *answer]]
        rewards += Sentiment()([" ".join(word for word in words if word)])
        tokens = torch.tensor([*prompt, *answer])
        logps = [
            decoder.logits(decoder(burnish.Forest.from_segments([(tokens.tolist(), -1)]))).log_softmax(-1)
            for decoder in (policy, setting.reference)
        ]
        places = torch.arange(len(prompt) - 1, len(tokens) - 1)
        own, reference = (one[places, tokens[places + 1]].sum().item() for one in logps)
        ratios.append(own - reference)
    assert found.kl == pytest.approx(statistics.mean(ratios), abs=1e-4)
    assert found.kl_error == pytest.approx(statistics.stdev(ratios) / 12**0.5, abs=1e-4)
    assert found.reward == pytest.approx(statistics.mean(rewards), abs=1e-6)
    assert found.positive == pytest.approx(sum(reward >= 0.05 for reward in rewards) / 12)
    assert setting.evaluate(setting.reference, answers=12, seed=1).kl == pytest.approx(0, abs=1e-5)


def test_the_best_of_n_is_the_mean_over_all_subsets() -> None:
    rewards = [[0.1, -0.4, 0.9, 0.0], [0.3, 0.3, -1.0, 0.2]]
    for found in best_of(Samples([], [], rewards), (1, 2, 3, 4)):
        expected = [
            statistics.mean(max(subset) for subset in itertools.combinations(drawn, found.n)) for drawn in rewards
        ]
        assert found.reward == pytest.approx(statistics.mean(expected))
        assert found.reward_error == pytest.approx(statistics.stdev(expected) / 2**0.5)
        assert found.kl == pytest.approx(math.log(found.n) - (found.n - 1) / found.n)


coordinates = st.floats(0, 10, allow_subnormal=False)


@given(st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=8), st.floats(0, 1), st.data())
def test_a_frontier_holds_every_mixture_and_nothing_else(
    points: list[tuple[float, float]], share: float, data: st.DataObject
) -> None:
    points = [(0.0, 1.0), *points]
    hull = frontier_of(points)
    assert set(hull.corners) <= set(points)
    (x1, y1), (x2, y2) = (data.draw(st.sampled_from(points)) for _ in range(2))
    assert hull(share * x1 + (1 - share) * x2) >= share * y1 + (1 - share) * y2 - 1e-9
    kls, rewards = zip(*hull.corners, strict=True)
    assert list(kls) == sorted(kls)
    assert list(rewards) == sorted(rewards)
    # Between two corners it is their mixture, and after the last it is that one: no more than can be reached.
    assert hull(hull.reach + 1) == rewards[-1] == max(y for _, y in points)


def test_a_divergence_below_zero_counts_as_zero() -> None:
    assert frontier_of([(0.0, 0.1), (-0.2, 0.3), (2.0, 0.5)]).corners == [(0.0, 0.3), (2.0, 0.5)]


@pytest.mark.parametrize(
    ("above", "below", "differences", "error", "verdict"),
    [
        ((1.0, 0.97), (0.0, 0.03), (0.1, 0.2), 0.01, "dominates"),
        ((0.0, 0.01), (1.0, 0.99), (-0.1, -0.2), 0.01, "is dominated"),
        ((1.0, 0.6), (0.0, 0.4), (0.1, 0.01), 0.01, "is higher on average"),
        ((0.0, 0.4), (1.0, 0.6), (-0.1, -0.01), 0.01, "is lower on average"),
        ((1.0, 0.0), (0.0, 1.0), (0.3, -0.1), 0.01, "cannot be told apart"),
        ((1.0, 1.0), (0.0, 0.0), (0.1, 0.2), 0.1, "cannot be told apart"),
        ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.0, "cannot be told apart"),
    ],
)
def test_verdicts_are_what_every_seed_says_beyond_the_errors(
    above: Any, below: Any, differences: Any, error: float, verdict: str
) -> None:
    assert Dominance("other", (1.0, 1.0), above, below, differences, error).verdict == verdict


def outcome(kl: float, reward: float, error: float = 0.01) -> FrontierOutcome:
    return FrontierOutcome(reward, error, kl, 0.0, 0.5, 10.0, "text")


def test_the_error_of_a_difference_is_that_of_its_points() -> None:
    """Between two lines from one reference the mean difference is half of that at the end."""
    ends = {"DPO": outcome(2.0, 1.0, 0.03), "PPO, true reward": outcome(2.0, 0.9, 0.04)}
    outcomes = {Training(method, 0.1, seed): [end] for method, end in ends.items() for seed in (0, 1)}
    results = Results(outcomes, best_of(Samples([], [], [[0.1] * 2] * 2), (1, 2)), (0, 1))
    expected = math.hypot(0.03, 0.04) / 2 / 2**0.5
    assert results.comparison("PPO, true reward").error == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("lift", "held"), [(0.2, "holds here"), (-0.2, "is reversed here")])
def test_what_is_said_follows_from_the_numbers(lift: float, held: str) -> None:
    outcomes = {
        Training(method, 0.1, seed): [outcome(kl, 0.1 + slope * kl) for kl in (1.0, 2.0)]
        for method, slope in (("DPO", 0.3 + lift), ("PPO, true reward", 0.3))
        for seed in (0, 1)
    }
    results = Results(outcomes, best_of(Samples([], [], [[0.1] * 2] * 2), (1, 2)), (0, 1))
    comparison = results.comparison("PPO, true reward")
    assert comparison.difference == pytest.approx([lift, lift], rel=0.02)  # the mean of lift · kl up to 2 nats
    assert comparison.reach == [2.0, 2.0]
    assert (comparison.above, comparison.below) == (([1.0] * 2, [0.0] * 2) if lift > 0 else ([0.0] * 2, [1.0] * 2))
    lines = findings(results)
    assert held in lines[0]
    assert "2 seeds" in lines[0]
    assert len(lines) == 1 + 2 + 1
    best = "DPO" if lift > 0 else "PPO, true reward"
    assert f"The highest reward is that of {best}: {0.1 + 2 * (0.3 + max(lift, 0)):.3f}" in lines[-1]


@pytest.mark.parametrize("seconds", [1.0, 60.0, 3600.0])
@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_a_plan_takes_its_share_of_the_time(scale: Scale, seconds: float) -> None:
    costs = Costs(sample=0.04, score=0.03, learn=0.05)
    learning, shares = scale.learning, scale.shares
    plan = FrontierPlan.of(
        costs,
        shares,
        seconds,
        samples=4,
        best_of=16,
        evaluations=50,
        pair_runs=20,
        ppo_runs=10,
        learning=learning,
        prompts=2000,
        heldout=500,
    )
    pairs = plan.steps * 2 * learning.batch_size * costs.learn * 20
    continuation = costs.sample + 2 * costs.score + learning.ppo_epochs * costs.learn
    ppo = plan.rollouts * learning.rollout_prompts * continuation * 10
    assert pairs <= shares.pairs * seconds or plan.steps == shares.least_steps
    assert ppo <= shares.ppo * seconds or plan.rollouts == shares.least_rollouts
    assert plan.heldout <= plan.answers
    if seconds == 3600 and scale is FULL:
        assert pairs > 0.9 * shares.pairs * seconds
        assert ppo > 0.9 * shares.ppo * seconds
    assert sum((shares.sampling, shares.best_of, shares.evaluating, shares.pairs, shares.ppo)) < 0.95


def test_everything_is_in_the_tables(whole: dict[str, Any]) -> None:
    found, points, frontiers, comparisons, examples = whole["tables"]
    methods = list(TOY.values)
    assert len(found["rows"]) == 1 + len(methods) + 1
    expected = sum(len(values) * TOY.evaluations[method] for method, values in TOY.values.items())
    assert len(points["rows"]) == 1 + expected + 1
    for row in points["rows"][1:-1]:
        assert row[0] in methods
        assert row[3] > -0.5
        assert -1 <= row[5] <= 1
        assert 1 <= row[8] <= 3
    assert [row[2] for row in points["rows"] if row[0] == "PPO, true reward"] == ["2 of 4 steps", "4 of 4 steps"]
    assert {row[0] for row in frontiers["rows"]} == {*methods, BEST_OF}
    assert {row[0] for row in comparisons["rows"]} == {*methods, BEST_OF} - {"DPO"}
    assert all(row[5] > 0 for row in comparisons["rows"] if row[1] > 0)
    assert {row[0] for row in examples["rows"]} == set(methods)
    plotted = whole["panels"][0]
    assert {name: len(line) for name, line in plotted["series"].items()} == {
        name: len(line) for name, line in plotted["errors"].items()
    }


def test_policies_leave_the_reference_and_only_by_what_trains(whole: dict[str, Any], setting: Setting) -> None:
    rows = whole["tables"][1]["rows"]
    assert {row[0] for row in rows if abs(row[3]) > 1e-3} == {*TOY.values, BEST_OF}, "all but the reference"
    trains = [name for name, parameter in setting.reference.named_parameters() if parameter.requires_grad]
    assert all(name.startswith(("blocks.1.", "norm.")) for name in trains)


@pytest.mark.slow
def test_an_interrupted_experiment_goes_on(
    tmp_path: Path, folder: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, calls = Trainer._run, list[str]()

    def counted(self: Trainer, name: str, seed: int) -> Run:
        calls.append(name)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return begin(self, name, seed)

    # The sizes are measured, so both runs are given the same.
    monkeypatch.setattr(frontier, "planned", lambda *_: FrontierPlan(**whole["settings"]["plan"]))
    monkeypatch.setattr(Trainer, "_run", counted)
    with pytest.raises(KeyboardInterrupt):
        run(folder, tmp_path)
    found = run(folder, tmp_path)
    assert len(calls) == len(set(calls)) + 1, "only the interrupted training begins twice"
    assert found["tables"] == whole["tables"]
    calls.clear()
    assert run(folder, tmp_path)["tables"] == whole["tables"]
    assert calls == []


def test_another_seed_is_another_experiment(setting: Setting) -> None:
    names = [run.name for seed in (0, 1) for run in replace(TOY, seeds=1).runs([seed])]
    assert len(set(names)) == len(names)
