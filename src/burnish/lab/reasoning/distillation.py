"""`distillation`: is a small student better taught by a large one than reinforced by itself, at equal operations?

DeepSeek-R1's claim (arXiv:2501.12948, section 4.1), by text, and by the teacher's distributions on its own answers and
on the student's (Agarwal 2023, arXiv:2306.13649). Whether a method makes more problems solvable, or only those surer
that were solvable before, is seen by pass@k (arXiv:2505.14216).

Notable choices:
- the student can begin: what it has read makes some of its answers right, so that reinforcement finds a reward;
- each route takes the learning rate that is best on problems to learn from, none of which is measured afterwards.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.reasoning import distillation_tables as tables
from burnish.lab.reasoning.additions import R1_ZERO
from burnish.lab.reasoning.additions import Scale as TeacherScale
from burnish.lab.reasoning.additions import quick as quick_teacher
from burnish.lab.reasoning.distillation_results import START, TEACHER, Gone, Results
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reading import Shape, n_parameters
from burnish.lab.reasoning.reinforcing import Reinforcing, reinforce
from burnish.lab.reasoning.results import ByDigits
from burnish.lab.reasoning.routes import RL, TAUGHT, Student
from burnish.lab.reasoning.setting import Setting, read_measured
from burnish.lab.seeded import SeededExperiment
from burnish.lab.weights import load_trained, save_trained
from burnish.nn.decoder import Decoder
from burnish.runs.progress import Reporter
from burnish.runs.run import Run

_LOOKED_AT, _SAMPLES = 64, 4
"""Problems of each number of digits, and samples of each, by which a learning rate is chosen and the start is told."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """teacher: the whole of its making; its first case is what the student learns. steps: of the student's own RL.

    learning_rates: what each route tries.
    """

    teacher: TeacherScale
    student: Shape
    steps: int
    learning_rates: Sequence[float]

    def case(self, learning_rate: float) -> Reinforcing:
        """The student's own RL."""
        return replace(self.teacher.cases[0], name=RL, steps=self.steps, learning_rate=learning_rate)

    @property
    def digits(self) -> Sequence[int]:
        """What the teacher and the student learn."""
        return self.teacher.cases[0].digits


FULL = Scale(
    teacher=replace(
        R1_ZERO,
        reading=replace(R1_ZERO.reading, digits=4, shares={"direct": 0.5, "columns": 0.5}, steps=2000),
        measuring=replace(R1_ZERO.measuring, digits=(2, 3, 4), problems=64),
        cases=(Reinforcing(name="3 to 4 digits", digits=(3, 4), steps=40),),
    ),
    student=Shape(d_model=32, n_layers=3, n_heads=2),
    steps=80,
    learning_rates=(3e-4, 1e-3),
)
QUICK = Scale(
    teacher=quick_teacher(R1_ZERO),
    student=Shape(d_model=16, n_layers=1, n_heads=2),
    steps=3,
    learning_rates=(3e-4,),
)


@dataclass(frozen=True, kw_only=True)
class DistillationExperiment(SeededExperiment):
    """Make a teacher by RL, let a student read the same, and go each route; with each of so many seeds."""

    topic: str = "distillation"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        policies: dict[str, list[ByDigits]] = {name: [] for name in (START, TEACHER, RL, *TAUGHT)}
        gone: dict[str, list[Gone]] = {route: [] for route in (RL, *TAUGHT)}
        starts: list[float] = []
        sizes = (0, 0)
        for seed in self.each_seed(display):
            student = self._student(seed, notebook, display)
            sizes = (n_parameters(student.teacher), n_parameters(student.start))
            for name, policy in ((START, student.start), (TEACHER, student.teacher)):
                look = partial(student.setting.measured, policy, seed)
                policies[name].append(read_measured(notebook.piece(f"{name.replace(' ', '-')}-{seed}", look)))
            begin = partial(self._rate, student, student.start, seed)
            starts.append(notebook.piece(f"start-rate-{seed}", begin))
            for route in gone:
                budget = Operations(gone[RL][-1].operations) if gone[RL] else Operations()
                best = max(
                    (
                        self._gone(student, route, rate, budget, seed, notebook, display)
                        for rate in self.scale.learning_rates
                    ),
                    key=lambda one: one.chosen_by,
                )
                gone[route].append(best)
                policies[route].append(best.after)
        results = Results(self.scale.digits, policies, gone, starts)
        return Findings(
            [
                tables.findings_table(results, most=max(self.scale.teacher.ks), seed=self.seed),
                tables.routes_table(results, most=max(self.scale.teacher.ks), note=self._note(sizes), seed=self.seed),
                tables.passes_table(results, self.scale.teacher.ks),
                tables.examples_table(results),
            ],
            [tables.digits_panel(results), tables.passes_panel(results, self.scale.teacher.ks)],
            self.facts(teacher=sizes[0], student=sizes[1]),
        )

    def _student(self, seed: int, notebook: Notebook, display: Reporter) -> Student:
        made = self.scale.teacher
        large = Setting(made.shape, made.reading, made.measuring)
        small = Setting(self.scale.student, made.reading, made.measuring)
        start = small.pretrained(seed, notebook, display, name="student")
        teacher = large.pretrained(seed, notebook, display, name="teacher")
        file = notebook.subfolder("teachers") / f"{seed}.safetensors"
        identity = f"{notebook.identity}-teacher-{seed}"
        if not load_trained(teacher, file, identity=identity):
            run = Run(notebook.subfolder(f"reinforced-{seed}"), seed, identity, display)
            reinforce(large, made.cases[0], teacher, run)
            save_trained(teacher, file, identity=identity)
            shutil.rmtree(run.folder)
        digits = self.scale.digits
        problems = small.drawn(digits, 64, [seed, 4])
        said = small.asked(teacher.eval(), problems, max(digits), seed, samples=1)
        question = sum(len(small.prompt(one)) for one in problems) / len(problems)
        return Student(small, start, teacher, digits, question=question, answer=said.length)

    def _rate(self, student: Student, policy: Decoder, seed: int) -> float:
        """The share of right answers to problems that are there to learn from."""
        setting, digits = student.setting, self.scale.digits
        found = [
            setting.asked(policy, setting.drawn([one], _LOOKED_AT, [seed, 5, one]), one, seed, samples=_SAMPLES)
            for one in digits
        ]
        return sum(one.accuracy for one in found) / len(digits)

    def _gone(
        self,
        student: Student,
        route: str,
        learning_rate: float,
        budget: Operations,
        seed: int,
        notebook: Notebook,
        display: Reporter,
    ) -> Gone:
        """What a route with this learning rate has made of the student: once, kept in the notebook."""
        name = f"{route.replace(',', '').replace(' ', '-')}-{learning_rate:g}-{seed}"

        def go() -> dict[str, Any]:
            run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)
            case = self.scale.case(learning_rate)
            policy, spent = student.reinforced(case, run) if route == RL else student.taught(route, case, budget, run)
            found = {
                "learning_rate": learning_rate,
                "chosen_by": self._rate(student, policy.eval(), seed),
                "operations": spent.total,
                "after": student.setting.measured(policy, seed),
            }
            shutil.rmtree(run.folder)
            return found

        return Gone.of(notebook.piece(name, go))

    def _note(self, sizes: tuple[int, int]) -> str:
        made, case = self.scale.teacher, self.scale.teacher.cases[0]
        mix = ", ".join(f"{100 * share:.0f} % {way}" for way, share in made.reading.shares.items())
        rates = " or ".join(f"{rate:g}" for rate in self.scale.learning_rates)
        return (
            f"Both read {made.reading.steps * made.reading.batch_size:,} additions of 1 to {made.reading.digits} "
            f"digits ({mix}). Teacher: {sizes[0]:,} parameters, then {case.steps} steps of GRPO. Student: "
            f"{sizes[1]:,}; RL: {self.scale.steps} steps of {case.prompts} problems with {case.samples} samples, which "
            f"set the budget. Learning rate {rates}, by what is right of {_LOOKED_AT} problems of each number of "
            f"digits that are there to learn from. Measured on {made.measuring.problems} held-out problems of each "
            f"number of digits and seed, {made.measuring.samples} samples each, at temperature 1."
        )
