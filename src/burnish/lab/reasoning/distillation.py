"""`distillation`: is a small student better taught by a large one than reinforced by itself, at equal operations?

DeepSeek-R1's claim (arXiv:2501.12948, section 4.1), by text, and by the teacher's distributions on its own answers and
on the student's (Agarwal 2023, arXiv:2306.13649).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from burnish.evaluation.statistics import paired_bootstrap_interval
from burnish.lab.experiment import Findings
from burnish.lab.notebook import Notebook
from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.additions import R1_ZERO
from burnish.lab.reasoning.additions import Scale as TeacherScale
from burnish.lab.reasoning.additions import quick as quick_teacher
from burnish.lab.reasoning.operations import Operations
from burnish.lab.reasoning.reading import Shape
from burnish.lab.reasoning.reinforcing import Reinforcing, reinforce
from burnish.lab.reasoning.results import ByDigits, passes
from burnish.lab.reasoning.routes import RL, TAUGHT, Student
from burnish.lab.reasoning.setting import Setting, read_measured
from burnish.lab.report import Cell, Panel, Table
from burnish.lab.seeded import SeededExperiment
from burnish.lab.weights import load_trained, save_trained
from burnish.nn.decoder import Decoder
from burnish.report.formatting import percent, signed
from burnish.runs.progress import Reporter
from burnish.runs.run import Run

START, TEACHER = "student before", "the teacher"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """teacher: the whole of its making; its first case is what the student learns. steps: of the student's own RL."""

    teacher: TeacherScale
    student: Shape
    steps: int

    @property
    def case(self) -> Reinforcing:
        """The student's own RL."""
        return replace(self.teacher.cases[0], name=RL, steps=self.steps)


FULL = Scale(
    teacher=replace(
        R1_ZERO,
        reading=replace(R1_ZERO.reading, steps=1500),
        measuring=replace(R1_ZERO.measuring, digits=(3, 4, 5, 6)),
    ),
    student=Shape(d_model=32, n_layers=3, n_heads=2),
    steps=80,
)
QUICK = Scale(teacher=quick_teacher(R1_ZERO), student=Shape(d_model=16, n_layers=1, n_heads=2), steps=3)


@dataclass(frozen=True, kw_only=True)
class DistillationExperiment(SeededExperiment):
    """Make a teacher by RL, let a student read the same, and go each route; with each of so many seeds."""

    topic: str = "distillation"
    scale: Scale

    def settings(self) -> dict[str, Any]:
        return {"command": self.command, "scale": asdict(self.scale)}

    def measure(self, notebook: Notebook, display: Reporter) -> Findings:
        policies: dict[str, list[ByDigits]] = {name: [] for name in (START, TEACHER, RL, *TAUGHT)}
        spent: dict[str, list[float]] = {route: [] for route in (RL, *TAUGHT)}
        for seed in self.each_seed(display):
            student = self._student(seed, notebook, display)
            policies[START].append(_measured(START, student.setting, student.start, seed, notebook))
            policies[TEACHER].append(_measured(TEACHER, student.setting, student.teacher, seed, notebook))
            for route in spent:
                budget = Operations(spent[RL][-1]) if spent[RL] else Operations()
                found = notebook.piece(
                    _file(route, seed), partial(_gone, student, route, budget, seed, notebook, display)
                )
                policies[route].append(read_measured(found["after"]))
                spent[route].append(found["operations"])
        results = Results(self.scale.case.digits, policies, spent)
        return Findings(
            [
                findings_table(results, seed=self.seed),
                routes_table(results, self.scale, seed=self.seed),
            ],
            [digits_panel(results)],
            self.facts(),
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
        found = _measured(TEACHER, small, teacher.eval(), seed, notebook)
        case = self.scale.case
        answer = sum(found[digits].length for digits in case.digits) / len(case.digits)
        question = sum(len(small.prompt(one)) for one in small.drawn(case.digits, 64, [seed, 4])) / 64
        return Student(small, start, teacher, case, question=question, answer=answer)


def _measured(name: str, setting: Setting, decoder: Decoder, seed: int, notebook: Notebook) -> ByDigits:
    """What a policy is like, measured once."""
    look = partial(setting.measured, decoder, seed)
    return read_measured(notebook.piece(f"{name.replace(' ', '-')}-{seed}", look))


def _gone(
    student: Student, route: str, budget: Operations, seed: int, notebook: Notebook, display: Reporter
) -> dict[str, Any]:
    """What a route has made of the student, and its operations, as JSON values."""
    name = _file(route, seed)
    run = Run(notebook.subfolder(name), seed, f"{notebook.identity}-{name}", display)
    policy, operations = student.reinforced(run) if route == RL else student.taught(route, budget, run)
    found = {"after": student.setting.measured(policy.eval(), seed), "operations": operations.total}
    shutil.rmtree(run.folder)
    return found


def _file(route: str, seed: int) -> str:
    return f"{route.replace(',', '').replace(' ', '-')}-{seed}"


@dataclass(frozen=True)
class Results:
    """Policies by name and seed, what each route has spent, and the digits that were learned."""

    digits: Sequence[int]
    policies: Mapping[str, Sequence[ByDigits]]
    spent: Mapping[str, Sequence[float]]

    def rates(self, name: str) -> list[float]:
        """Of each problem of these digits, seed by seed, the share of right answers."""
        return [rate for policy in self.policies[name] for digits in self.digits for rate in policy[digits].rates]

    def accuracy(self, name: str) -> tuple[float, float | None]:
        """The mean over the seeds and their deviation."""
        return mean_and_deviation(
            [sum(p[digits].accuracy for digits in self.digits) / len(self.digits) for p in self.policies[name]]
        )

    def solved(self, name: str, k: int) -> float:
        """pass@k."""
        found = [one for policy in self.policies[name] for digits in self.digits for one in passes(policy[digits], k)]
        return sum(found) / len(found)

    def better(self, route: str, *, seed: int) -> tuple[float, float]:
        """The interval of a route's accuracy less that of RL by itself."""
        return paired_bootstrap_interval(self.rates(RL), self.rates(route), seed=seed)


def findings_table(results: Results, *, seed: int) -> Table:
    """The claim, route by route."""
    lines = []
    for route in TAUGHT:
        low, high = results.better(route, seed=seed)
        held = "holds" if low > 0 else "is reversed" if high < 0 else "is not decided"
        lines.append(
            f"That a student is better taught than reinforced by itself, at equal operations, {held} here for "
            f"{route}: {percent(results.accuracy(route)[0], 0)} right beside {percent(results.accuracy(RL)[0], 0)} "
            f"({signed(100 * low, 0)} to {signed(100 * high, 0)} points)."
        )
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def routes_table(results: Results, scale: Scale, *, seed: int) -> Table:
    """Every policy on the digits that were learned."""
    most = max(scale.teacher.ks)
    rows: list[list[Cell]] = []
    for name, policies in results.policies.items():
        mean, spread = results.accuracy(name)
        length = sum(p[digits].length for p in policies for digits in results.digits) / len(policies)
        spent = results.spent.get(name)
        interval = results.better(name, seed=seed) if name in TAUGHT else None
        rows.append(
            [
                name,
                percent(mean, 0),
                None if spread is None else percent(spread, 0),
                None if interval is None else " to ".join(signed(100 * bound, 0) for bound in interval),
                percent(results.solved(name, most), 0),
                length / len(results.digits),
                None if spent is None else sum(spent) / len(spent) / 1e12,
            ]
        )
    digits = ", ".join(map(str, results.digits))
    return Table(
        "At equal operations",
        ["policy", "right", "±", "beside RL, points", f"pass@{most}", "tokens", "10¹² operations"],
        rows,
        f"Held-out additions of {digits} digits, means over the seeds, ± their deviation; intervals of 95 % over the "
        "problems of all seeds. Operations: 2 for each parameter and token forwards, 6 with the gradient; those of "
        "the teacher's making are left out.",
    )


def digits_panel(results: Results) -> Panel:
    """Right answers by digits, of every policy."""
    series = {}
    for name, policies in results.policies.items():
        series[name] = [
            (float(digits), sum(policy[digits].accuracy for policy in policies) / len(policies))
            for digits in policies[0]
        ]
    return Panel("Right answers by digits", "digits", "share right", series)
