"""Rollouts are functions of (seed, number) and the policy, survive a kill, and give the columns of each completion."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from burnish.datasets.batches import Batch
from burnish.datasets.examples import Prompt
from burnish.datasets.rollout import Rollout, rollout_batches
from burnish.datasets.rows import Task
from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.generation.sampling import Sampling
from burnish.methods.rollouts import Rollouts, chosen_tasks
from burnish.nn.decoder import Decoder
from burnish.rewards.environment import Environment
from burnish.rewards.judgement import JudgedAnswer, WeightedJudge
from burnish.rewards.sampled_groups import RolloutConfig
from burnish.runs.run import Run
from tiny_models import tiny_decoder

TASKS = [Task([{"role": "user", "content": f"question {n}"}], {"n": n}) for n in range(10)]
PROMPTS = [Prompt([(n * 3 + i) % 50 for i in range(20 + n)], {"n": n}) for n in range(10)]
STOPS = frozenset(range(0, 50, 8))


class Words:
    """A tokenizer whose text is the numbers of the tokens."""

    stop_ids = STOPS

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def parity(answers: Sequence[Answer]) -> list[float]:
    return [float(int(answer.text.split()[0]) % 2) if answer.text else 0.0 for answer in answers]


def never(answers: Sequence[Answer]) -> list[float]:
    raise AssertionError("sampled although the rollout is on disk")


def rollouts(folder: Path, decoder: Decoder, **changes: object) -> Rollouts:
    options = {"prompts": 3, "num_generations": 4, "batch_size": 5} | changes
    function = options.pop("function", parity)
    columns = options.pop("columns", None)
    marks, identity = options.pop("marks", None), options.pop("identity", "run")
    of_sampling = {name: options.pop(name) for name in ("temperature", "top_k", "top_p") if name in options}
    n_rewards = options.pop("n_rewards", 2)
    config = RolloutConfig(sampling=Sampling(max_new_tokens=6, **of_sampling), **options)
    rewards = [WeightedJudge("parity", function, 2.0), WeightedJudge("length", lambda s: [len(x.text) for x in s], 0.5)]
    return Rollouts(
        decoder,
        Environment(Words(), TASKS, PROMPTS, rewards[:n_rewards]),
        config,
        Run(folder, 5, identity),
        columns=columns,
        marks=marks,
    )


def alone(decoder: Decoder, prompt: list[int], answer: list[int]) -> Tensor:
    """Log-probabilities of an answer's tokens in a plain sequence of its own."""
    sequence = torch.tensor(prompt + answer)
    forest = Forest(sequence, (len(sequence),), (-1,))
    return decoder.logps(forest, torch.arange(len(prompt), len(sequence)))


def equal(a: Rollout, b: Rollout) -> bool:
    return (
        (a.tasks, a.prompts, a.answers, a.n_sampled) == (b.tasks, b.prompts, b.answers, b.n_sampled)
        and torch.equal(a.rewards, b.rewards)
        and torch.equal(a.finished, b.finished)
        and a.columns.keys() == b.columns.keys()
        and all(torch.equal(x, y) for name in a.columns for x, y in zip(a.columns[name], b.columns[name], strict=True))
    )


def test_a_rollout_holds_its_groups_and_what_they_earned(tmp_path: Path) -> None:
    decoder = tiny_decoder(scale=3)
    rollout = rollouts(tmp_path, decoder)[0]
    assert rollout.tasks == chosen_tasks(10, 0, 3, 5)
    assert [len(rollout.answers), rollout.group_size] == [12, 4]
    for number, answer in enumerate(rollout.answers):
        assert bool(rollout.finished[number]) == (answer[-1] in STOPS)
        assert not STOPS & set(answer[:-1])
        assert len(answer) == 6 or rollout.finished[number]
        text = Words().decode(answer[:-1] if answer[-1] in STOPS else answer)
        total = 2.0 * (int(text.split()[0]) % 2 if text else 0) + 0.5 * len(text)
        assert rollout.totals.flatten()[number].item() == pytest.approx(total)
    assert rollout.finished.any()
    assert not rollout.finished.all()
    lines = [json.loads(line) for line in (tmp_path / "rollouts" / "00000.jsonl").read_text().splitlines()]
    assert [line["reward"] for line in lines] == pytest.approx(rollout.totals.flatten().tolist())
    assert lines[5]["prompt"] == TASKS[rollout.tasks[1]].prompt
    assert set(lines[0]["rewards"]) == {"parity", "length"}
    metrics = rollout.metrics()
    assert metrics["reward"] == pytest.approx(sum(line["reward"] for line in lines) / 12)
    assert metrics["completions/clipped_ratio"] == pytest.approx(sum(not line["finished"] for line in lines) / 12)
    assert metrics["rewards/parity/std"] == pytest.approx(rollout.rewards[0].std().item())


def test_a_rollout_on_disk_is_not_sampled_again(tmp_path: Path) -> None:
    decoder = tiny_decoder(scale=3)

    def columns(batch: Batch) -> dict[str, Tensor]:
        return {"old_logps": decoder.logps(batch.forest, batch.scored)}

    first = rollouts(tmp_path, decoder, columns=columns)[1]
    assert equal(rollouts(tmp_path, tiny_decoder(1), function=never)[1], first)
    assert equal(rollouts(tmp_path / "elsewhere", decoder, columns=columns)[1], first)
    assert not equal(rollouts(tmp_path, tiny_decoder(1), identity="other")[1], first)


def test_sampling_leaves_the_random_numbers_of_training_alone(tmp_path: Path) -> None:
    def draws(answers: Sequence[Answer]) -> list[float]:
        return torch.rand(len(answers)).tolist()

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    rollouts(tmp_path, tiny_decoder(), function=draws)[0]
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("micro_batch_tokens", [2048, 60, 30])
def test_columns_belong_to_the_tokens_of_each_completion(tmp_path: Path, micro_batch_tokens: int) -> None:
    decoder = tiny_decoder(scale=3)

    def columns(batch: Batch) -> dict[str, Tensor]:
        return {"old_logps": decoder.logps(batch.forest, batch.scored)}

    rollout = rollouts(tmp_path, decoder, columns=columns, micro_batch_tokens=micro_batch_tokens)[0]
    numbers = [11, 2, 5, 6, 7]
    seen = []
    with torch.no_grad():
        for rows, batch in rollout_batches(
            rollout,
            numbers,
            micro_batch_tokens=micro_batch_tokens,
            rows={"row": torch.arange(12)},
            tokens={"place": [torch.arange(len(answer)) for answer in rollout.answers]},
        ):
            seen += rows
            assert batch.columns["row"].tolist() == rows
            assert batch.n_entries == sum(len(rollout.answers[row]) for row in rows)
            expected = torch.cat([alone(decoder, rollout.prompts[r // 4], rollout.answers[r]) for r in rows])
            torch.testing.assert_close(batch.columns["old_logps"], expected, rtol=1e-4, atol=1e-5)
            assert batch.columns["place"].tolist() == [i for row in rows for i in range(len(rollout.answers[row]))]
    assert sorted(seen) == sorted(numbers)


def test_dynamic_sampling_replaces_groups_that_teach_nothing(tmp_path: Path) -> None:
    def only_odd_tasks_vary(answers: Sequence[Answer]) -> list[float]:
        return [float(place % 2) * (answer.row["n"] % 2) for place, answer in enumerate(answers)]

    def one_reward(folder: Path, tries: int) -> Rollout:
        options = {"function": only_odd_tasks_vary, "dynamic_sampling": tries, "prompts": 4, "n_rewards": 1}
        return rollouts(folder, tiny_decoder(), **options)[0]

    plain, bounded, replaced = (one_reward(tmp_path / str(tries), tries) for tries in (0, 1, 20))
    assert plain.n_sampled == 4
    assert not plain.varies.all()
    assert bounded.n_sampled == 4 + (~plain.varies).sum()
    assert replaced.varies.all()
    assert all(task % 2 for task in replaced.tasks)
    assert len(replaced.tasks) == len(bounded.tasks) == 4
    assert bounded.varies.sum() >= plain.varies.sum()
    assert equal(one_reward(tmp_path / "again", 20), replaced)


@pytest.mark.parametrize(
    ("returned", "message"),
    [([1.0], r"judge 'parity': 1 judgements of 12 answers"), ([float("nan")] * 12, "'parity': nan for the answer")],
)
def test_a_reward_that_is_not_a_number_each_is_refused(tmp_path: Path, returned: list[float], message: str) -> None:
    with pytest.raises(BurnishError, match=message):
        rollouts(tmp_path, tiny_decoder(), function=lambda _: returned, batch_size=12)[0]


def test_a_rollout_of_several_waves_goes_on_with_those_that_are_there(tmp_path: Path) -> None:
    decoder, judged = tiny_decoder(scale=3), []
    whole = rollouts(tmp_path / "whole", decoder)[2]

    def failing(answers: Sequence[Answer]) -> list[float]:
        judged.append(answers[0].row["n"])
        if len(judged) == 3:
            raise RuntimeError("the power failed")
        return parity(answers)

    with pytest.raises(RuntimeError, match="power"):
        rollouts(tmp_path / "cut", decoder, function=failing)[2]
    assert equal(rollouts(tmp_path / "cut", decoder, function=failing)[2], whole)
    assert judged == [*whole.tasks, whole.tasks[2]]
    assert [file.name for file in (tmp_path / "cut" / "partial" / "rollouts").iterdir()] == ["00002.safetensors"]


def test_marks_stay_with_their_answers(tmp_path: Path) -> None:
    seen: list[str] = []

    def marks(_judges: object, groups: Sequence[Sequence[JudgedAnswer]]) -> dict[str, list[bool]]:
        seen.extend(one.answer.text for group in groups for one in group)
        return {"long": [len(one.answer.text) > 9 for group in groups for one in group]}

    rollout = rollouts(tmp_path, tiny_decoder(scale=3), marks=marks)[0]
    expected = [len(text) > 9 for text in seen]
    assert rollout.marks["long"].tolist() == expected
    assert len(set(expected)) == 2
    again = rollouts(tmp_path, tiny_decoder(1), function=never)[0]
    assert torch.equal(again.marks["long"], rollout.marks["long"])
    assert torch.equal(again.take([2]).marks["long"], rollout.marks["long"][8:])
    lines = (tmp_path / "rollouts" / "00000.jsonl").read_text().splitlines()
    assert [json.loads(line)["long"] for line in lines] == expected


@pytest.mark.parametrize("tempered", [True, False])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.6}, {"temperature": 1.7, "top_k": 5}, {"top_p": 0.8}])
def test_the_sampler_s_log_probabilities_are_those_of_the_loss(
    tmp_path: Path, sampling: dict[str, float], tempered: bool
) -> None:
    decoder = tiny_decoder(scale=3)
    rollout = rollouts(tmp_path, decoder, tempered=tempered, prompts=1, **sampling)[0]
    temperature = sampling.get("temperature", 1.0) if tempered else 1.0
    for number, answer in enumerate(rollout.answers):
        sequence = torch.tensor(rollout.prompts[0] + answer)
        places = torch.arange(len(sequence) - len(answer), len(sequence))
        with torch.no_grad():
            expected = decoder.logps(Forest(sequence, (len(sequence),), (-1,)), places, temperature=temperature)
        torch.testing.assert_close(rollout.columns["sampling_logps"][number], expected, rtol=1e-4, atol=1e-4)


def test_a_damaged_rollout_is_a_clear_error(tmp_path: Path) -> None:
    rollouts(tmp_path, tiny_decoder())[0]
    file = tmp_path / "partial" / "rollouts" / "00000.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(BurnishError, match=r"00000.safetensors: the saved rollout cannot be read .*delete it"):
        rollouts(tmp_path, tiny_decoder())[0]


def test_a_flipped_bit_of_a_rollout_is_noticed(tmp_path: Path) -> None:
    rollouts(tmp_path, tiny_decoder())[0]
    file = tmp_path / "partial" / "rollouts" / "00000.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BurnishError, match=r"00000.safetensors: the saved rollout cannot be read .*SHA-256 differs"):
        rollouts(tmp_path, tiny_decoder())[0]


def test_a_rollout_that_is_gone_is_sampled_again_only_before_its_first_update(tmp_path: Path) -> None:
    sampled = rollouts(tmp_path, tiny_decoder())
    sampled.resume(0, 0)
    with pytest.raises(
        BurnishError, match=r"00000.safetensors: the rollout .* is gone, .* put the file back, or .* --from"
    ):
        sampled.resume(0, 1)
    assert sampled[0].answers
    sampled.resume(0, 1)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_every_task_is_asked_once_an_epoch(n_tasks: int, prompts: int, seed: int) -> None:
    asked = [task for number in range(8) for task in chosen_tasks(n_tasks, number, prompts, seed)]
    assert len(asked) == 8 * prompts
    for start in range(0, len(asked) - n_tasks + 1, n_tasks):
        assert sorted(asked[start : start + n_tasks]) == list(range(n_tasks))
