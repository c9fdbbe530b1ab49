"""`burnish lab forgetting`: the tasks, what is measured of policies, and the verdicts."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from burnish.errors import BurnishError
from burnish.lab.forgetting import on_policy, replay, tables
from burnish.lab.forgetting.catalogue import chosen
from burnish.lab.forgetting.divergence import kl, log_probabilities
from burnish.lab.forgetting.on_policy import Measure, OnPolicyExperiment, PolicyPoint
from burnish.lab.forgetting.parity import ALPHABET, RIGHT_BEFORE, Parity, documents
from burnish.lab.forgetting.replay import HeldOutLosses, ReplayExperiment
from burnish.lab.reasoning.arithmetic import character_tokenizer
from conducting import conducted
from tiny_models import tiny_decoder


def test_what_is_read_is_right_as_often_as_it_should_be() -> None:
    rng = np.random.default_rng(0)
    answers = [int(Parity(37).read(rng)) for _ in range(2000)]
    right = [answer for answer in answers if answer % 2]
    assert len(right) / 2000 == pytest.approx(RIGHT_BEFORE, abs=0.03)
    assert right.count(1) > 1.6 * right.count(3) > 2 * right.count(7) > 0
    texts = documents(rng, 500, parities=0.2)
    assert sum("?" in text for text in texts) == pytest.approx(100, abs=30)
    sums = [text.strip().split("=") for text in texts if "+" in text]
    assert all(eval_sum(question) == int(answer) for question, answer in sums)


def eval_sum(question: str) -> int:
    a, b = question.split("+")
    return int(a) + int(b)


def test_divergence_is_that_of_all_next_tokens() -> None:
    one, other = tiny_decoder(seed=1), tiny_decoder(seed=2)
    sequences = [[1, 2, 3], [4, 5]]
    p, q = (log_probabilities(model, sequences) for model in (one, other))
    assert p.shape == (3, one.config.vocab_size)
    assert torch.allclose(p.exp().sum(-1), torch.ones(3), atol=1e-5)
    naive = sum(math.exp(a) * (a - b) for a, b in zip(p.flatten().tolist(), q.flatten().tolist(), strict=True)) / 3
    assert kl(p, q) == pytest.approx(naive, rel=1e-4)
    assert kl(p, p) == 0


def test_a_policy_is_measured_on_both_tasks() -> None:
    tokenizer = character_tokenizer(ALPHABET)
    start = tiny_decoder(vocab_size=len(ALPHABET)).eval()
    measure = Measure.of(start, tokenizer, 8, seed=0)
    point = PolicyPoint(**measure.point(start, 3))
    assert (point.step, point.kl, point.back) == (3, 0.0, 0.0)
    logps = measure.start.exp()
    digits = [[ALPHABET.index(str(digit)) for digit in Parity(number).right] for number in range(10, 100)]
    assert point.accuracy == pytest.approx(
        float(sum(row[of].sum() for row, of in zip(logps, digits, strict=True)) / 90)
    )
    assert 0 <= point.old <= 1
    assert point.old_loss == pytest.approx(math.log(len(ALPHABET)), rel=0.5)


def points(*values: tuple[float, float, float]) -> list[PolicyPoint]:
    """Of (accuracy, KL, loss on the old task)."""
    return [PolicyPoint(step, accuracy, far, far, 0.9, loss) for step, (accuracy, far, loss) in enumerate(values)]


def test_routes_are_compared_where_they_first_have_the_accuracy() -> None:
    start = points((0.6, 0.0, 0.1))[0]
    curves = {
        "SFT, one label, 0.001": [points((0.7, 0.5, 0.35), (0.96, 1.0, 0.6), (0.99, 1.4, 0.8))] * 3,
        "GRPO, 0.001": [points((0.8, 0.2, 0.2), (0.95, 0.4, 0.3), (0.97, 0.5, 0.35))] * 3,
    }
    kinds = {"SFT, one label": ["SFT, one label, 0.001"], "GRPO": ["GRPO, 0.001"]}
    found = tables.on_policy([start] * 3, curves, kinds, "burnish")
    said = " ".join(str(row[0]) for row in found.tables[0].rows)
    assert "whatever the method, holds here" in said
    assert "GRPO forgets 0.200 (0.200 to 0.200) nats, SFT, one label 0.500" in said
    assert "less in every seed" in said
    assert found.tables[1].rows[0][:2] == ["SFT, one label, 0.001", "3 of 3"]


def test_remedies_are_told_by_what_they_keep_and_what_they_cost() -> None:
    before = [HeldOutLosses(2.0, 3.0, 0.0)] * 3
    after = {"none": [HeldOutLosses(3.0, 2.0, 1.0)] * 3, "replay 25 %": [HeldOutLosses(2.1, 2.1, 0.9)] * 3}
    said = " ".join(str(row[0]) for row in tables.replay(before, after, "", "burnish").tables[0].rows)
    assert "avoids 90% of the forgetting (less in every seed), and has 90% of the learning" in said
    nothing = tables.replay(before, {"none": before, "LoRA": before}, "", "burnish").tables[0].rows
    assert "no remedy can be told from another" in str(nothing[1][0])


def test_statistics_by_hand() -> None:
    x = [0.0, 1.0, 2.0, 3.0]
    assert tables.explained(x, [value**2 + 1 for value in x]) == pytest.approx(1)
    assert tables.explained(x, [1.0] * 4) == 0
    assert tables.rank_correlation(x, [1.0, 2.0, 9.0, 10.0]) == pytest.approx(1)
    assert tables.rank_correlation(x, [4.0, 3.0, 2.0, 1.0]) == pytest.approx(-1)
    assert tables.Spread([1.0, 2.0]).against(tables.Spread([2.0, 3.0])) == "too few seeds to tell"
    assert tables.Spread([1.0, 2.0, 9.0]).against(tables.Spread([2.0, 3.0, 4.0])) == "not alike in all seeds"


def test_an_unknown_experiment() -> None:
    with pytest.raises(BurnishError, match="--experiment sleep: expected one of replay, on-policy"):
        chosen(["sleep"], seed=0, seeds=1, quick=True)


@pytest.mark.slow
def test_both_experiments_in_small_and_more_seeds_go_on(tmp_path: Path) -> None:
    scale = replace(replay.QUICK, characters=9_000, remedies=replay.REMEDIES)
    small = replace(on_policy.QUICK, reading=4, steps=4)
    for make, options in ((ReplayExperiment, {"scale": scale}), (OnPolicyExperiment, {"scale": small})):
        for seeds in (1, 2):
            files = conducted(make, tmp_path, seed=0, seeds=seeds, threads=1, **options)
            assert [file.suffix for file in files] == [".md", ".json", ".svg"]
            document = json.loads(files[1].read_text())
            assert document["settings"]["seeds"] == seeds
