"""Labels by rollouts: a step's label is the share of the completions from its end that a judge finds right."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Backend

from burnish.datasets.rows import Task, read_labelled, read_stepwise
from burnish.errors import DataError
from burnish.generation.answer import Answer
from burnish.methods.step_labels import Settings, label_steps
from burnish.nn.decoder import Decoder
from burnish.rewards.judgement import Judge, Judgement, WeightedJudge, each, verdict
from burnish.runs.run import Run
from burnish.text.tokenizer import Tokenizer
from tiny_models import tiny_decoder

TASKS = [Task([{"role": "user", "content": "a" * n + "b"}], {"n": n}) for n in range(5)]
LETTERS = ("a", "b", "Ċ", "<|end|>")


def policy() -> tuple[Decoder, Tokenizer]:
    """A policy that writes a, b, newlines and ends, each about as often."""
    backend = Backend(models.BPE(vocab={letter: number for number, letter in enumerate(LETTERS[:3])}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(LETTERS[3], special=True)])
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    tokenizer = Tokenizer(
        backend=backend, source="letters", stop_ids=frozenset({3}), chat_template=template, context_length=256
    )
    return tiny_decoder(0, 2, vocab_size=len(LETTERS), max_positions=256), tokenizer


def odd(_prompt: Any, text: str, _row: Any) -> Judgement:
    return verdict(len(text) % 2 == 1)


class Judging:
    """Opens one judge; counts what it was asked."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.asked = judge, list[Answer]()

    @contextmanager
    def __call__(self) -> Any:
        def judge(answers: Any, /) -> Any:
            self.asked.extend(answers)
            return self.judge(answers)

        yield [WeightedJudge("odd", judge)]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_labels_are_the_shares_of_completions_that_end_right(labels: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"samples": 3, "rollouts": 4, "labels": labels, "max_new_tokens": 10})
    judging = Judging(each(odd))
    measured = label_steps(Run(tmp_path, seed=3), policy, TASKS, judging, settings)
    steps, outcomes = rows(tmp_path, "steps.jsonl"), rows(tmp_path, "outcomes.jsonl")
    assert len(steps) == len(outcomes) == measured["answers"] > 8
    asked: dict[tuple[str, str], list[bool]] = {}
    for answer in judging.asked:
        own = [answer.prompt[0]["content"], answer.text]
        for end in range(len(answer.text) + 1):
            asked.setdefault((own[0], answer.text[:end]), []).append(len(answer.text) % 2 == 1)
    several = 0
    for one, outcome in zip(steps, outcomes, strict=True):
        text, question = outcome["completion"], one["prompt"][0]["content"]
        assert one["completions"] == [line for line in text.split("\n") if line.strip()]
        assert one["labels"][-1] == float(len(text) % 2 == 1) == float(outcome["label"])
        several += len(one["labels"]) > 1
        for label in one["labels"][:-1]:
            assert label in ({0.0, 1.0} if labels == "hard" else {0.0, 0.25, 0.5, 0.75, 1.0})
        assert (question, text) in asked
    assert several > 3
    assert measured["steps"] == sum(len(one["labels"]) for one in steps)
    assert measured["completions"] == len(judging.asked) - measured["answers"]
    # Both files are what the stages read.
    assert [one.labels for one in read_stepwise(tmp_path / "steps.jsonl")] == [one["labels"] for one in steps]
    assert [one.desired for one in read_labelled(tmp_path / "outcomes.jsonl")] == [one["label"] for one in outcomes]


def test_a_prefix_is_continued_and_nothing_else_changes_it(tmp_path: Path) -> None:
    """Naive: every rollout begins with the very prefix, and its share is counted again from what the judge saw."""
    settings = Settings(samples=6, rollouts=5, labels="soft", max_new_tokens=12)
    judging = Judging(each(odd))
    label_steps(Run(tmp_path, seed=3), policy, TASKS[:1], judging, settings)
    steps, outcomes = rows(tmp_path, "steps.jsonl"), rows(tmp_path, "outcomes.jsonl")
    rollouts = judging.asked[len(steps) :]
    expected: list[float] = []
    prefixes: dict[str, float] = {}
    for outcome in outcomes:
        text, ends = outcome["completion"], []
        for place, letter in enumerate(text):
            if letter == "\n" and text[:place].rpartition("\n")[2].strip() and text[place:].strip():
                ends.append(place + 1)
        for end in ends:
            prefix = text[:end]
            if prefix not in prefixes:
                mine, rollouts = rollouts[:5], rollouts[5:]
                assert all(one.text.startswith(prefix) for one in mine)
                prefixes[prefix] = sum(len(one.text) % 2 for one in mine) / 5
            expected.append(prefixes[prefix])
    assert rollouts == []
    assert [label for one in steps for label in one["labels"][:-1]] == expected
    assert len(set(expected)) > 1


def test_an_interrupted_run_goes_on_to_the_same_labels(tmp_path: Path) -> None:
    settings = Settings(samples=4, rollouts=16, max_new_tokens=6)  # one task a chunk
    whole, parts = Run(tmp_path / "whole", seed=3), Run(tmp_path / "parts", seed=3)
    label_steps(whole, policy, TASKS[:3], Judging(each(odd)), settings)

    class Broken(Judging):
        calls = 0

        @contextmanager
        def __call__(self) -> Any:
            def judge(answers: Any, /) -> Any:
                type(self).calls += 1
                if type(self).calls == 3:
                    raise KeyboardInterrupt
                return self.judge(answers)

            yield [WeightedJudge("odd", judge)]

    with pytest.raises(KeyboardInterrupt):
        label_steps(parts, policy, TASKS[:3], Broken(each(odd)), settings)
    assert len(list((tmp_path / "parts" / "partial").iterdir())) == 2
    judging = Judging(each(odd))
    label_steps(parts, policy, TASKS[:3], judging, settings)
    for name in ("steps.jsonl", "outcomes.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {answer.row["n"] for answer in judging.asked} == {2}


def test_answers_of_too_many_steps_are_left_out_and_said(tmp_path: Path) -> None:
    run = Run(tmp_path, seed=1)
    settings = Settings(samples=3, rollouts=1, max_new_tokens=10, max_steps=1)
    measured = label_steps(run, policy, TASKS, Judging(each(odd)), settings)
    assert measured["left_out"] > 0
    assert all(len(one["labels"]) == 1 for one in rows(tmp_path, "steps.jsonl"))
    assert run.notices == [
        f"{measured['left_out']} of {measured['left_out'] + measured['answers']} different answers have no step, or "
        "more than max_steps (1), and were left out"
    ]


def test_what_cannot_be_labelled_is_an_error(tmp_path: Path) -> None:
    scores = Judging(each(lambda *_: 0.5))
    with pytest.raises(DataError, match=r"no judge says whether the answer .* is right or wrong"):
        label_steps(Run(tmp_path / "a"), policy, TASKS, scores, Settings(max_new_tokens=4))
    with pytest.raises(DataError, match="leave no room in the context of 256 tokens for an answer and a completion"):
        label_steps(Run(tmp_path / "b"), policy, TASKS, scores, Settings(max_new_tokens=127))
