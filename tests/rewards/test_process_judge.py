"""Process reward models as judges: each step's probability, what they come to, and the tokens that have them."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from burnish.errors import DataError
from burnish.forest import Forest
from burnish.generation.answer import Answer
from burnish.nn.process_reward import ProcessRewardModel
from burnish.rewards.judgement import Judgement, WeightedJudge, judge_answers
from burnish.rewards.process import Aggregation, aggregated, by_process_reward_model
from burnish.text.chat import encode_prompt
from tiny_models import tiny_decoder
from workshop import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
STOP = 2
PROMPT = [{"role": "user", "content": "2 mod 3?"}]
TEXTS = ["SELECT 1\n2 + 2\n\nSELECT 2", "SELECT 1\nprose", "SELECT 1\nprose\n", "prose"]


def model(separator: str = "\n") -> ProcessRewardModel:
    decoder = tiny_decoder(0, 5, vocab_size=TOKENIZER.vocab_size, max_positions=256)
    return ProcessRewardModel(decoder, step_separator=separator, seed=1)


def sampled(text: str, *, stop: bool = True) -> Answer:
    return Answer(PROMPT, text, tokens=[*TOKENIZER.encode(text), *([STOP] if stop else [])])


def judgements(answers: Sequence[Answer], **options: Any) -> list[Judgement]:
    judge = by_process_reward_model(model(), TOKENIZER, **options)
    (found,) = judge_answers([WeightedJudge("steps", judge)], answers)
    return [one for one in found if one is not None]


@torch.no_grad()
def naive(text: str, separator: str = "\n") -> list[float]:
    """The probability of each step at its end, one sequence at a time."""
    own, tokens, found = model(separator), encode_prompt(TOKENIZER, PROMPT), []
    for step in text.split(separator):
        if step.strip():
            tokens = [*tokens, *TOKENIZER.encode(step), *TOKENIZER.encode(separator)]
            forest = Forest(torch.tensor(tokens), (len(tokens),), (-1,))
            logits = own.eval()(forest, torch.tensor([len(tokens) - 1]))
            found.append(logits.softmax(-1)[0, 1].item())
    return found


@pytest.mark.parametrize(
    ("how", "expected"), [("min", 0.2), ("product", 0.072), ("last", 0.4), ("mean", (0.9 + 0.2 + 0.4) / 3)]
)
def test_what_steps_come_to(how: Aggregation, expected: float) -> None:
    assert aggregated([0.9, 0.2, 0.4], how) == pytest.approx(expected)


@pytest.mark.parametrize("micro_batch_tokens", [4096, 20])
@pytest.mark.parametrize("how", ["min", "product"])
def test_the_score_is_of_the_probabilities_of_steps(how: Aggregation, micro_batch_tokens: int) -> None:
    options: dict[str, Any] = {"aggregation": how, "micro_batch_tokens": micro_batch_tokens}
    found = judgements([sampled(text) for text in TEXTS], **options)
    for one, text in zip(found, TEXTS, strict=True):
        assert one.score == pytest.approx(aggregated(naive(text), how), rel=1e-4)
    # What follows a step does not change what it is worth.
    assert naive(TEXTS[0])[0] == naive(TEXTS[1])[0]
    assert found[1].score == pytest.approx(found[2].score)


@pytest.mark.parametrize("stop", [True, False])
def test_each_step_is_rewarded_at_the_token_that_ends_it(stop: bool) -> None:
    for text, one in zip(TEXTS, judgements([sampled(text, stop=stop) for text in TEXTS]), strict=True):
        tokens, scores = sampled(text, stop=stop).tokens, one.token_scores
        assert scores is not None
        assert len(scores) == len(tokens)
        places = [place for place, score in enumerate(scores) if score is not None]
        assert [scores[place] for place in places] == pytest.approx(naive(text), rel=1e-4)
        assert places[-1] == len(tokens) - 1
        said = [TOKENIZER.decode(tokens[: place + 1]) for place in places[:-1]]
        assert all(before.endswith("\n") and text.startswith(before) for before in said)


def test_another_separator() -> None:
    (one,) = judgements([sampled("SELECT 1\n2 + 2\n\nSELECT 2")], step_separator="\n\n", aggregation="mean")
    own = naive("SELECT 1\n2 + 2\n\nSELECT 2", "\n\n")
    assert len(own) == 2
    assert one.score == pytest.approx(sum(own) / 2, rel=1e-4)


def test_answers_without_tokens_or_steps() -> None:
    written, blank, cut = judgements([Answer(PROMPT, "prose"), sampled(" \n"), sampled("")])
    assert written.token_scores is None
    assert (blank.score, blank.reason) == (cut.score, cut.reason) == (0.0, "no step")
    assert blank.token_scores == [None] * len(sampled(" \n").tokens)
    assert all(math.isfinite(one.score) for one in (written, blank, cut))
    assert judgements([]) == []


def test_tokens_of_another_vocabulary_are_an_error_unless_only_the_whole_is_scored() -> None:
    foreign = Answer(PROMPT, "SELECT 1\nprose", tokens=[5, 6, 7, 8])
    with pytest.raises(DataError, match=r"not of the vocabulary of the process reward model tiny.*`per_step: false`"):
        judgements([foreign])
    (one,) = judgements([foreign], per_step=False)
    assert one.token_scores is None
    assert one.score == pytest.approx(min(naive("SELECT 1\nprose")), rel=1e-4)


def test_a_stop_string_that_was_cut_off_belongs_to_the_last_step() -> None:
    whole = sampled("SELECT 1\nprose user", stop=False)
    (one,) = judgements([Answer(PROMPT, "SELECT 1\nprose", tokens=whole.tokens)])
    assert one.token_scores is not None
    assert one.token_scores[-1] == pytest.approx(naive("SELECT 1\nprose")[-1], rel=1e-4)
