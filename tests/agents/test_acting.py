"""Reinforcement learning with tools: what tools return is read and not learned; the loss is that of a naive version."""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agents.test_agents import QUESTION, add, called, play, tool_user
from burnish.agents.acting import Acting
from burnish.agents.episode import Episode
from burnish.agents.functions import function_tool
from burnish.agents.tool import ToolBox
from burnish.console.display import Display
from burnish.datasets.rollout import Rollout, load_rollout, save_rollout
from burnish.datasets.rows import Task
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.methods import grpo
from burnish.objectives.grpo import GRPO
from burnish.objectives.objective import loss_of, measure, step_counts
from burnish.recipes.runner.running import run
from burnish.rewards.calls import CallsVerifier
from burnish.text.tool_calls.reading import Read
from burnish.text.tool_calls.template import TOOLS_TEMPLATE
from burnish.text.tool_calls.values import ToolCall
from recipes.test_grpo_stage import Killed, KillingDisplay, products
from tiny_models import tiny_decoder
from workshop import make_workshop

TURNS = (
    (called("add", a=1, b=2), "Three."),
    (called("add", a=1), called("add", a=2), "Two and three."),
    ("I do not know.",),
)


def box() -> ToolBox:
    return ToolBox([function_tool(add)])


def episodes() -> Iterator[Episode]:
    for turns in TURNS:
        one = Episode(tool_user(), list(QUESTION), box(), 4096, exact=True)
        play(one, turns)
        yield one


def a_rollout(rewards: Sequence[float]) -> Rollout:
    """A group of three episodes of one, two and no calls."""
    found = list(episodes())
    n = found[0].n_prompt
    return Rollout(
        [0],
        [found[0].tokens[:n]],
        [one.tokens[n:] for one in found],
        torch.tensor([True] * 3),
        torch.tensor([list(rewards)]),
        {"outcome": 1.0},
        masks=[one.learned[n:] for one in found],
    )


def test_the_loss_and_its_gradient_are_those_of_a_naive_version() -> None:
    rollout = a_rollout([1.0, 0.0, 0.5])
    decoder = tiny_decoder(vocab_size=tool_user().vocab_size, max_positions=4096, scale=3.0)
    naive = copy.deepcopy(decoder)
    config = grpo.Settings.model_validate(
        {"num_generations": 3, "max_new_tokens": 64, "training": {"batch_size": 1, "micro_batch_tokens": 900}}
    )
    batches = grpo.updates(rollout, 0, config)
    outputs = [(batch, decoder(batch.forest, scored=batch.scored)) for batch in batches]
    objective = GRPO(0.0, 0.2, loss_type="dapo", max_completion_length=64)
    loss = measure(objective, outputs)["loss"]

    rewards = torch.tensor([1.0, 0.0, 0.5])
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-4)
    total, count = torch.zeros(()), 0
    for number, one in enumerate(episodes()):
        logps = naive.logits(naive(Forest.from_segments([(one.tokens, -1)]))).log_softmax(-1)
        drawn = torch.tensor(one.learned).nonzero().flatten()
        # What a tool returned has no term, and what comes after it has.
        found = logps[drawn - 1, torch.tensor(one.tokens)[drawn]]
        total = total - (advantages[number] * (found - found.detach()).exp()).sum()
        count += len(drawn)
    assert count == int(rollout.lengths.sum())
    expected = total / count
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    expected.backward()
    counts = step_counts(objective, batches)
    for batch, given in outputs:
        loss_of(objective(given, batch)[0], counts).backward()
    for mine, theirs in zip(decoder.parameters(), naive.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=2e-3, atol=1e-6)


def test_what_is_saved_is_what_was_sampled(tmp_path: Path) -> None:
    rollout = a_rollout([1.0, 0.0, 0.5])
    columns = {"sampling_logps": [-torch.arange(float(n)) for n in rollout.lengths.tolist()]}
    rollout = replace(rollout, columns=columns)
    save_rollout(tmp_path / "r.safetensors", rollout, identity="a")
    loaded = load_rollout(tmp_path / "r.safetensors", prompts=rollout.prompts, weights=rollout.weights, identity="a")
    assert loaded is not None
    assert loaded.masks == rollout.masks
    assert loaded.answers == rollout.answers
    for mine, theirs in zip(loaded.columns["sampling_logps"], columns["sampling_logps"], strict=True):
        assert torch.equal(mine, theirs)
    both = (loaded + loaded).take([1])
    assert both.masks == rollout.masks


def test_acting_gives_tokens_masks_and_what_is_judged() -> None:
    tokenizer = tool_user()
    decoder = tiny_decoder(vocab_size=tokenizer.vocab_size, max_positions=4096, scale=3.0).eval()
    acting = Acting(tokenizer, box, judged="add.a")
    tasks = [Task(list(QUESTION), {"n": n}) for n in range(2)]
    sampling = Sampling(temperature=1.0, max_new_tokens=6)
    for one, task in zip(acting.act(decoder, tasks, sampling, 3), tasks, strict=True):
        assert sum(one.mask) == len(one.logps) == len(one.sampling_logps)
        assert len(one.mask) == len(one.answer.tokens)
        assert one.answer.row is task.row
        assert one.answer.text == ""  # nothing was called
        forest = Forest.from_segments([([*acting_prompt(acting), *one.answer.tokens], -1)])
        logps = decoder.logits(decoder(forest)).log_softmax(-1)
        first = len(acting_prompt(acting))
        places = [place for place, yes in enumerate(one.mask) if yes]
        found = [logps[first + place - 1, one.answer.tokens[place]].item() for place in places]
        assert found == pytest.approx(one.logps, abs=1e-4)


def acting_prompt(acting: Acting) -> list[int]:
    one = Episode(acting.tokenizer, list(QUESTION), box(), 4096, exact=True)
    return one.tokens


def test_calls_are_judged_by_their_outcome() -> None:
    def judge(calls: list[tuple[str, bool]], names: list[str]) -> tuple[bool | None, str]:
        made = [{"name": name, "arguments": {}, "result": "", "failed": failed} for name, failed in calls]
        (one,) = CallsVerifier(only=["plot"])([Answer([], "", {"calls": names}, calls=made)])
        return one.correct, one.reason

    assert judge([("query", True), ("query", False)], ["query"]) == (True, "correct")
    assert judge([("query", True)], ["query"]) == (False, "called in vain")
    assert judge([], ["query"]) == (False, "not called")
    assert judge([("query", False), ("plot", False)], ["query"]) == (False, "not asked for")
    assert judge([("query", False), ("plot", False)], ["query", "plot"]) == (True, "correct")


TOOLS_FILE = '''
def put(n: int) -> str:
    """Put a number."""
    return f"put {n}"
'''
RECIPE = """
name: acting
seed: 3
model: model
device: cpu
compute_dtype: float32
threads: 1
stages:
  - type: grpo
    tasks: tasks.jsonl
    tools: tools.py
    judged_call: put.n
    max_calls: 2
    rewards: [{type: exact}, {type: calls, weight: 0.5}]
    num_generations: 4
    max_new_tokens: 40
    rollouts: 3
    num_iterations: 2
    training: {learning_rate: 1.0e-3, batch_size: 2, micro_batch_tokens: 2000, checkpoint_seconds: 0}
"""


@pytest.mark.slow
def test_a_killed_run_with_tools_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write is no call: most of it is taken for one here, which all that follows is real of."""

    def calls(text: str, form: object, *, thinking: bool = False) -> Read:
        number = len(text)
        return Read(text) if number % 3 == 0 else Read("", [ToolCall("put", {"n": number % 2})])

    monkeypatch.setattr("burnish.agents.episode.read_answer", calls)

    def recipe(folder: Path) -> Path:
        file = make_workshop(folder, RECIPE)
        for name, more in (
            ("config", {"max_position_embeddings": 1024}),
            ("tokenizer_config", {"model_max_length": 1024, "chat_template": TOOLS_TEMPLATE}),
        ):
            kept = folder / "model" / f"{name}.json"
            kept.write_text(json.dumps(json.loads(kept.read_text()) | more))
        (folder / "tools.py").write_text(TOOLS_FILE)
        rows = ({"prompt": f"{n}?", "answer": str(n % 2), "calls": ["put"]} for n in range(4))
        (folder / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    def trained(file: Path, display: Display | None = None) -> Path:
        run(file, runs=file.parent / "runs", display=display or Display(quiet=True))
        return file.parent / "runs" / "acting" / "01-grpo"

    whole = trained(recipe(tmp_path / "whole"))
    expected = products(whole)
    lines = [json.loads(line) for line in (whole / "rollouts" / "00000.jsonl").read_text().splitlines()]
    assert any("put 1" in line["completion"] for line in lines)
    assert {line["rewards"]["calls"] for line in lines} == {0.0, 1.0}
    cut = recipe(tmp_path / "cut")
    for step in (1, 3):
        with pytest.raises(Killed):
            trained(cut, KillingDisplay(step))
    assert products(trained(cut)) == expected
