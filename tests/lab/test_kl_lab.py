"""`burnish lab kl`: its figures are the published ones, and its gradients those of the divergences written out."""

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from burnish.lab.kl import experiment as kl
from burnish.lab.kl.experiment import MEANS, PUBLISHED, closed_form
from burnish.lab.kl.policies import (
    USES,
    Setting,
    exact,
    normal,
    sampled,
    softmax,
    tokens,
    true_gradients,
)
from burnish.objectives.kl import ESTIMATORS, Estimator
from conducting import conducted


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("kl")
    files = conducted(kl.KlExperiment, folder, seed=1, samples=1 << 16, threads=1)
    assert [file.name for file in files] == ["kl.md", "kl.json", "kl.svg"]
    return json.loads((folder / "kl.json").read_text())


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_published_table_follows_from_closed_forms_and_quadrature(estimator: Estimator, mean: float) -> None:
    setting = normal(mean)
    found = exact(setting, partial(setting.estimates, estimator, setting.parameters))
    bias, deviation = closed_form(estimator, mean)
    assert found.mean.item() == pytest.approx(mean**2 / 2 * (1 + bias), rel=1e-9)
    assert found.deviation.item() == pytest.approx(deviation, rel=1e-6)
    published_bias, published_deviation = PUBLISHED[estimator][mean]
    assert bias == pytest.approx(published_bias, abs=2e-4)
    assert deviation == pytest.approx(published_deviation, rel=3e-3)


def gaussian_kl(parameters: Tensor, mean: float, *, reverse: bool) -> Tensor:
    policy, reference = Normal(parameters[0], parameters[1].exp()), Normal(torch.tensor(mean).double(), 1.0)
    return kl_divergence(reference, policy) if reverse else kl_divergence(policy, reference)


def softmax_kl(parameters: Tensor, reference_logits: Tensor, *, reverse: bool) -> Tensor:
    policy, reference = Categorical(logits=parameters), Categorical(logits=reference_logits)
    return kl_divergence(reference, policy) if reverse else kl_divergence(policy, reference)


def settings() -> list[Any]:
    tokens = softmax(0.7, seed=3)
    return [
        pytest.param(normal(0.5), partial(gaussian_kl, mean=0.5), id="normal"),
        pytest.param(tokens, partial(softmax_kl, reference_logits=tokens.reference), id="softmax"),
    ]


@pytest.mark.parametrize(("setting", "divergence"), settings())
def test_gradients_are_those_of_the_divergences_in_closed_form(setting: Setting, divergence: Any) -> None:
    wanted, other = (torch.func.grad(partial(divergence, reverse=reverse))(setting.parameters) for reverse in (0, 1))
    close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-9)
    for found, expected in zip(true_gradients(setting), (wanted, other), strict=True):
        close(found, expected)
    expected: dict[tuple[str, str], Tensor] = {
        ("k1", "loss term"): torch.zeros_like(wanted),
        ("k2", "loss term"): wanted,
        ("k3", "loss term"): other,
        ("k1", "in the reward"): wanted,
        ("k3", "in the reward"): wanted - other,
        ("k1", "both"): wanted,
        ("k3", "both"): wanted,
    }
    for (estimator, use), gradient in expected.items():
        close(exact(setting, partial(setting.gradients, estimator, use)).mean, gradient)


@pytest.mark.parametrize(("setting", "divergence"), settings())
def test_three_ways_to_the_true_gradient_are_one_sample_by_sample(setting: Setting, divergence: Any) -> None:
    ways = [("k1", "in the reward"), ("k2", "loss term"), ("k3", "both")]
    first, *others = (setting.gradients(estimator, use, setting.outcomes) for estimator, use in ways)
    for other in others:
        torch.testing.assert_close(other, first)


def test_k2_is_biased_by_what_the_whole_derivative_says() -> None:
    """Over normal distributions E[k2] = μ²/2 + μ⁴/8, with a gradient of -μ - μ³/2 by the policy's mean."""
    setting = normal(1.0)
    assert exact(setting, partial(setting.gradients, "k2", "both")).mean[0].item() == pytest.approx(-1.5)


@pytest.mark.parametrize("use", USES)
def test_monte_carlo_agrees_with_the_sum(use: str) -> None:
    setting, samples = softmax(0.5, seed=0), 1 << 16
    values = setting.gradients("k3", use, setting.outcomes).__getitem__
    whole, drawn = exact(setting, values), sampled(tokens(setting, 0), values, samples)
    error = (drawn.mean - whole.mean) / (whole.deviation / samples**0.5)
    assert error.abs().max() < 4.5
    torch.testing.assert_close(drawn.deviation, whole.deviation, rtol=0.1, atol=0)


def test_samples_in_chunks_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.lab.kl.policies._CHUNK", 300)
    values, sizes = torch.arange(1000.0), list[int]()

    def draw(n: int) -> Tensor:
        sizes.append(n)
        return values[sum(sizes) - n : sum(sizes)]

    found = sampled(draw, lambda x: x, 1000)
    assert sizes == [300, 300, 300, 100]
    assert found.mean.item() == pytest.approx(499.5)
    assert found.deviation.item() == pytest.approx(values.std(correction=0).item())


def test_the_page_shows_the_published_table_and_all_uses(document: dict[str, Any]) -> None:
    estimates, by_mean, by_logits = document["tables"]
    assert [row[:2] for row in estimates["rows"]] == [
        [kl_, estimator] for kl_ in ("0.005", "0.125", "0.5") for estimator in ESTIMATORS
    ]
    for row in estimates["rows"]:
        assert row[6] == pytest.approx(row[7], rel=0.2), "measured and closed form"
        assert row[8] == pytest.approx(row[6] / float(row[0]))
    assert len(by_mean["rows"]) == 3 * (2 + 3 * 3)
    assert {row[1]: row[3] for row in by_logits["rows"] if row[2] == "loss term"} == {
        "k1": pytest.approx(1),
        "k2": 0.0,
        "k3": pytest.approx(by_logits["rows"][-3][3]),
    }
    assert all(math.isfinite(y) for panel in document["panels"] for line in panel["series"].values() for _, y in line)
    assert len(document["panels"]) == 4


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path, document: dict[str, Any]) -> None:
    conducted(kl.KlExperiment, tmp_path, seed=1, samples=1 << 16, threads=1)
    assert json.loads((tmp_path / "kl.json").read_text()) == document
