"""Merged models, against the formulas number by number, mergekit, and as folders that others load."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

import burnish
from burnish.cli import app
from burnish.errors import BurnishError
from burnish.methods.merge import Settings, dropped, largest, merge, merged, slerp
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer


def tensors(count: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.randn(*shape or (5, 7), generator=generator) for _ in range(count)]


def settings(method: str, weights: list[float], **options: Any) -> Settings:
    density = options.pop("density", 1.0)
    models = [{"model": f"m{n}", "weight": weight, "density": density} for n, weight in enumerate(weights)]
    return Settings.model_validate({"method": method, "models": models, **options})


def naive_ties(base: Tensor, models: list[Tensor], weights: list[float], density: float, *, divide: bool) -> Tensor:
    """Number by number, as the paper's algorithm reads."""
    deltas = []
    for model in models:
        delta = (model - base).flatten().tolist()
        least = sorted(map(abs, delta), reverse=True)[max(1, int(density * len(delta))) - 1]
        deltas.append([number if abs(number) >= least else 0.0 for number in delta])
    out = []
    for place, start in enumerate(base.flatten().tolist()):
        numbers = [weight * delta[place] for weight, delta in zip(weights, deltas, strict=True)]
        sign = 1 if sum(numbers) >= 0 else -1
        agreeing = [(number, weight) for number, weight in zip(numbers, weights, strict=True) if number * sign > 0]
        total = sum(number for number, _ in agreeing)
        share = sum(weight for _, weight in agreeing) if divide else 1.0
        out.append(start + total / (share or 1.0))
    return torch.tensor(out).view_as(base)


@pytest.mark.parametrize("weights", [[1.0], [0.3, 0.7], [1.0, 1.0, 1.0]])
def test_each_method_is_its_formula(weights: list[float]) -> None:
    base, *models = tensors(len(weights) + 1)
    pairs = list(zip(weights, models, strict=True))
    linear = sum(weight * model for weight, model in pairs) / sum(weights)
    torch.testing.assert_close(merged(settings("linear", weights), "x", models), linear)
    added = base + 0.5 * sum(weight * (model - base) for weight, model in pairs)
    arithmetic = settings("task_arithmetic", weights, base="b", scale=0.5)
    torch.testing.assert_close(merged(arithmetic, "x", [base, *models]), added)
    for density in (1.0, 0.4, 0.01):
        ties = settings("ties", weights, base="b", density=density)
        expected = naive_ties(base, models, weights, density, divide=True)
        torch.testing.assert_close(merged(ties, "x", [base, *models]), expected)


def test_a_chat_vector_is_added_onto_another_model() -> None:
    domain, base, chat = tensors(3)
    onto = settings("task_arithmetic", [1.0], base="b", onto="d")
    torch.testing.assert_close(merged(onto, "x", [domain, base, chat]), domain + chat - base)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_goes_along_the_arc(t: float) -> None:
    one, other = tensors(2)
    other = other / other.norm() * one.norm()
    point = slerp(t, one, other)
    torch.testing.assert_close(point.norm(), one.norm())
    angle = math.acos(float((one * other).sum() / one.norm() ** 2))
    assert float((one * point).sum() / one.norm() ** 2) == pytest.approx(math.cos(t * angle), abs=1e-5)
    torch.testing.assert_close(slerp(t, one, 2 * one), (1 + t) * one)
    torch.testing.assert_close(
        slerp(t, torch.zeros(3), torch.ones(3)), torch.sin(torch.tensor(t * math.pi / 2)) * torch.ones(3)
    )


def test_dare_drops_and_scales_by_seed_model_and_tensor() -> None:
    base, *models = tensors(3, 100, 100)
    dare = settings("dare_linear", [1.0, 1.0], base="b", density=0.25, seed=3)
    result = merged(dare, "x", [base, *models])
    torch.testing.assert_close(result, merged(dare, "x", [base, *models]), rtol=0, atol=0)
    assert not torch.equal(result, merged(dare, "y", [base, *models]))
    alone = dropped(models[0], 0.25, torch.Generator().manual_seed(0))
    kept = alone != 0
    assert kept.float().mean() == pytest.approx(0.25, abs=0.02)
    torch.testing.assert_close(alone[kept], 4 * models[0][kept])
    torch.testing.assert_close(
        merged(settings("dare_ties", [1.0, 1.0], base="b"), "x", [base, *models]),
        naive_ties(base, models, [1.0, 1.0], 1.0, divide=False),
    )


def test_equal_to_mergekit() -> None:
    arithmetic = pytest.importorskip("mergekit.merge_methods.generalized_task_arithmetic")
    sparsify = pytest.importorskip("mergekit.sparsify")
    arc = pytest.importorskip("mergekit.merge_methods.slerp")
    base, *models = tensors(4, 12, 9)
    torch.testing.assert_close(
        slerp(0.3, base, models[0]), arc.slerp(torch.tensor([0.3]), base[None], models[0][None])[0]
    )
    for density in (0.1, 0.5, 1.0):
        for model in models:
            torch.testing.assert_close(largest(model - base, density), sparsify.magnitude(model - base, density))
    weights = torch.tensor([0.5, 1.0, 0.25]).view(-1, 1, 1)
    deltas = torch.stack([sparsify.magnitude(model - base, 0.5) for model in models]) * weights
    mask = arithmetic.get_mask(deltas, method="sum")
    divisor = (weights * mask).sum(0)
    divisor[divisor == 0] = 1
    ties = settings("ties", [0.5, 1.0, 0.25], base="b", density=0.5)
    torch.testing.assert_close(merged(ties, "x", [base, *models]), base + (deltas * mask).sum(0) / divisor)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    made = {}
    for name, seed, options in (("base", 0, {}), ("chat", 1, {}), ("domain", 2, {}), ("wide", 3, {"d_ff": 40})):
        made[name] = folder / name
        burnish.save(tiny_decoder(seed=seed, vocab_size=tokenizer.vocab_size, **options), tokenizer, made[name])
    return made


def test_a_merged_folder_is_a_model(folders: dict[str, Path], tmp_path: Path) -> None:
    out = merge(
        Settings.model_validate(
            {
                "method": "task_arithmetic",
                "base": folders["base"],
                "onto": folders["domain"],
                "models": [{"model": folders["chat"]}],
            }
        ),
        tmp_path / "out",
    )
    states = {name: burnish.load(path)[0].state_dict() for name, path in {**folders, "out": out}.items()}
    for name, tensor in states["out"].items():
        expected = states["domain"][name] + states["chat"][name] - states["base"][name]
        torch.testing.assert_close(tensor, expected)
    assert "- onto: domain" in (out / "README.md").read_text(encoding="utf-8")


def test_the_command_line(folders: dict[str, Path], tmp_path: Path) -> None:
    call = ["merge", str(folders["base"]), str(folders["chat"]), "--method", "linear", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*call, "--weight", "1", "--weight", "3", "--dtype", "bfloat16"])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    base, chat, out = (
        burnish.load(path)[0].state_dict() for path in (folders["base"], folders["chat"], tmp_path / "out")
    )
    for name in base:
        torch.testing.assert_close(out[name], 0.25 * base[name] + 0.75 * chat[name], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{base}", "{wide}", "--method", "linear"], r"wide: .*mlp.* of shape .*only models of one architecture"),
        (["{chat}"], "task_arithmetic needs a base"),
        (["{chat}", "{domain}", "--base", "{base}", "--method", "slerp"], "slerp lies between the base and one model"),
        (["{chat}", "--base", "{base}", "--method", "linear"], "linear takes no base"),
        (["{chat}", "{base}", "--weight", "1"], "--weight is given 1 times for 2 models"),
        (["{chat}", "{base}", "--method", "linear", "--weight", "1", "--weight", "-1"], "add up to 0"),
    ],
)
def test_what_does_not_fit_is_said(
    folders: dict[str, Path], tmp_path: Path, arguments: list[str], message: str
) -> None:
    named = [argument.format(**folders) for argument in arguments]
    done = CliRunner().invoke(app, ["merge", *named, "-o", str(tmp_path / "out")])
    assert done.exit_code != 0
    with pytest.raises(AssertionError if done.exception is None else BurnishError, match=message):
        raise done.exception or AssertionError(done.output)
    assert not (tmp_path / "out").exists()


def test_another_vocabulary_is_told_by_its_first_difference(folders: dict[str, Path], tmp_path: Path) -> None:
    burnish.save(tiny_decoder(vocab_size=tiny_tokenizer().vocab_size), tiny_tokenizer(), tmp_path / "other")
    file = tmp_path / "other" / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    one, other = sorted(vocabulary, key=vocabulary.__getitem__)[10:12]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BurnishError, match=r"other: its vocabulary is not that of .*base: they differ at id 1\d"):
        merge(
            Settings.model_validate(
                {"method": "linear", "models": [{"model": folders["base"]}, {"model": tmp_path / "other"}]}
            ),
            tmp_path / "out",
        )
