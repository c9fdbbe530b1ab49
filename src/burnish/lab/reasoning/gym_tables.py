"""The experiment `smollm2` as tables and plots."""

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.lab.pretraining import mean_and_deviation
from burnish.lab.reasoning.gym_results import GRPO, MORE_SFT, POLICIES, SFT, WANTED, GymResults
from burnish.lab.reasoning.results import MeanChange
from burnish.lab.report import Cell, Panel, Table
from burnish.report.formatting import percent, points, signed
from burnish.terminal import printable


def findings_table(results: GymResults, *, seed: int) -> Table:
    """Whether GRPO brings what is asked for, and more than SFT does for the same operations."""
    lines = []
    for greedy, asked in ((False, "samples at temperature 1"), (True, "greedy answers")):
        gains = {task: results.gain(task, GRPO, seed=seed, greedy=greedy) for task in results.tasks}
        reached = [task for task, gain in gains.items() if gain.after - gain.before >= WANTED]
        surely = [task for task in reached if gains[task].interval[0] >= WANTED]
        held = "holds here" if len(reached) >= 2 else "does not hold here"
        lines.append(
            f"At least {points(WANTED)} points on two of {len(gains)} tasks by GRPO, {asked}: {held}, "
            f"{_named(reached)}; with 95 % confidence {_named(surely)}."
        )
        for task in results.tasks:
            lines.append(f"{task}, {asked}: {_beside(results, task, seed=seed, greedy=greedy)}.")
    return Table("What was found", ["computed from the tables below"], [[line] for line in lines])


def _named(tasks: Sequence[str]) -> str:
    return f"on {len(tasks)} ({', '.join(tasks)})" if tasks else "on none"


def _beside(results: GymResults, task: str, *, seed: int, greedy: bool) -> str:
    """GRPO beside more SFT."""
    reinforced, taught = (results.gain(task, way, seed=seed, greedy=greedy) for way in (GRPO, MORE_SFT))
    between = results.gain(task, GRPO, MORE_SFT, seed=seed, greedy=greedy)
    low, high = between.interval
    held = "GRPO is better" if low > 0 else "more SFT is better" if high < 0 else "which is better is not decided"
    return (
        f"from {percent(reinforced.before, 0)} to {percent(reinforced.after, 0)} by GRPO and "
        f"{percent(taught.after, 0)} by more SFT; {held} ({_interval(between)} points)"
    )


def _interval(gain: MeanChange) -> str:
    return " to ".join(signed(100 * bound, 0) for bound in gain.interval)


def tasks_table(results: GymResults, note: str, *, seed: int) -> Table:
    """Every policy on every task."""
    rows: list[list[Cell]] = []
    for task in results.tasks:
        for policy in POLICIES:
            mean, spread = mean_and_deviation(results.by_seed(policy, task))
            greedy = results.rates(policy, task, greedy=True)
            gains = [
                None if policy == SFT else results.gain(task, policy, seed=seed, greedy=way) for way in (False, True)
            ]
            graded = [seed_of[task] for seed_of in results.policies[policy]]
            tokens = sum(one.tokens for one in graded) / sum(len(one.right) * one.samples for one in graded)
            rows.append(
                [
                    task,
                    percent(results.floors[task], 0),
                    policy,
                    percent(mean, 0),
                    None if spread is None else f"{100 * spread:.0f}",
                    None if gains[0] is None else _interval(gains[0]),
                    percent(sum(greedy) / len(greedy), 0),
                    None if gains[1] is None else _interval(gains[1]),
                    tokens,
                ]
            )
    columns = ["task", "floor", "policy", "right", "±", "gain, points", "greedy", "gain, points", "tokens"]
    return Table("Held-out problems", columns, rows, note)


def operations_table(results: GymResults) -> Table:
    """What each way has cost."""
    rows: list[list[Cell]] = []
    for policy in (GRPO, MORE_SFT):
        spent, count = results.operations[policy], results.examples[policy]
        rows.append([policy, sum(spent) / len(spent) / 1e12, sum(count) / len(count)])
    return Table(
        "At equal operations",
        ["after the short SFT", "10¹² operations", "questions"],
        rows,
        "2 for each parameter and token forwards, 6 with the gradient; AdamW's updates are left out.",
    )


def examples_table(results: GymResults) -> Table:
    """Greedy answers to the same questions, of the first seed."""
    rows: list[list[Cell]] = []
    for task in results.tasks:
        said = [results.policies[policy][0][task].examples for policy in POLICIES]
        rows += [[task, *map(printable, answers)] for answers in zip(*said, strict=True)]
    return Table("Greedy answers", ["task", *POLICIES], rows)


def rewards_of(events: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> dict[str, list[float]]:
    """By task what the samples of each step earned; NaN where a step had none."""
    return {task: [float(event.get(f"rewards/reward-{task}/mean", "nan")) for event in events] for task in tasks}


def panels(results: GymResults) -> list[Panel]:
    """What GRPO's samples earned step by step, and what each policy answers right."""
    curves = {
        task: [
            (float(step), sum(values) / len(values))
            for step, values in enumerate(zip(*(seed[task] for seed in results.rewards), strict=True), 1)
        ]
        for task in results.tasks
    }
    places = {policy: float(place) for place, policy in enumerate(POLICIES)}
    right = {
        task: [(places[policy], mean_and_deviation(results.by_seed(policy, task))[0]) for policy in POLICIES]
        for task in results.tasks
    }
    return [
        Panel("GRPO: reward of its samples", "step", "share right", curves),
        Panel(
            "Held-out problems", " · ".join(f"{place:g} {name}" for name, place in places.items()), "share right", right
        ),
    ]
