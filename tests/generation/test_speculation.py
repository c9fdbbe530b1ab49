"""Guessed tokens that are verified: the same tokens as without, several in a step where guesses are right."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.drafts import DraftModel, LookUp, Speculation
from burnish.generation.engine import Engine
from burnish.generation.grammar import Grammars
from burnish.generation.request import Completion, Request
from burnish.generation.rows import Row
from burnish.generation.sampling import Sampling
from burnish.nn.attention import reference
from burnish.nn.decoder import Decoder
from tiny_models import TINY, encoder_decoder, tiny_decoder
from workshop import tiny_tokenizer

PROMPT = [7, 8, 9, 10] * 4
SAMPLINGS = (
    Sampling(temperature=0, max_new_tokens=14),
    Sampling(temperature=1, max_new_tokens=12),
    Sampling(temperature=0.8, top_k=5, repetition_penalty=1.4, max_new_tokens=9, stop=frozenset(range(12))),
)


class Told:
    """Guesses what it was told a request says, here and there with a wrong token."""

    def __init__(self, said: dict[int, list[int]], wrong: float) -> None:
        self.said, self._wrong, self._random = said, wrong, random.Random(1)

    def guess(self, row: Row, n: int) -> Sequence[int]:
        right = self.said.get(row.request.seed, [])[len(row.tokens) :][:n]
        return [(token + 1) % 50 if self._random.random() < self._wrong else token for token in right]

    def forget(self, row: Row) -> None:
        pass


def _request(number: int, **options: Any) -> Request:
    prompt = [*PROMPT[: 3 + number % 14], number % 5]
    return Request(prompt=prompt, sampling=SAMPLINGS[number % len(SAMPLINGS)], seed=number, **options)


def _alone(decoder: Decoder, request: Request) -> Completion:
    return Engine(decoder).run([request])[0]


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 5}, {"attention_softcap": 2.0}, {"positions": "learned"}])
def test_rows_that_verify_get_the_tokens_that_they_would_get_alone(changes: dict[str, Any]) -> None:
    decoder = Decoder(replace(TINY, **changes)).eval()
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(8)
    requests = [_request(number) for number in range(9)]
    alone = [_alone(decoder, request) for request in requests]
    said = {request.seed: one.drawn for request, one in zip(requests, alone, strict=True) if request.seed % 4}
    for wrong in (0.0, 0.3):
        engine = Engine(decoder, speculation=Speculation(drafter=Told(said, wrong), tokens=4))
        numbers = {engine.add(request): request for request in requests}
        drawn, steps = Counter[int](), 0
        while engine.busy:
            found = engine.step()
            drawn.update(one.request for one in found)
            steps += 1
            for one in found:
                if one.completion is not None:
                    expected = alone[numbers[one.request].seed]
                    assert one.completion.drawn == expected.drawn
                    assert one.completion.logps == pytest.approx(expected.logps, abs=1e-4)
        assert [drawn[number] for number in numbers] == [len(one.drawn) for one in alone]
        guessed, right = engine.guesses
        assert right > 0
        assert (guessed == right) == (wrong == 0)
    assert steps == 14, "who has no guesses takes one token a step"


@given(
    st.lists(st.tuples(st.sampled_from(["add", "step", "step", "remove"]), st.integers(0, 99)), max_size=40),
    st.sampled_from([0, 2**30]),
    st.sampled_from(["told", "look-up", "model"]),
)
@settings(max_examples=8)
def test_any_interleaving_gives_the_tokens_of_a_fresh_engine(
    actions: list[tuple[str, int]], budget: int, kind: str
) -> None:
    decoder = tiny_decoder(scale=8)
    told = Told({}, 0.2)
    drafter = {"told": told, "look-up": LookUp(), "model": DraftModel(tiny_decoder(scale=8))}[kind]
    engine = Engine(decoder, max_rows=5, cache_bytes=budget, speculation=Speculation(drafter=drafter, tokens=5))
    asked, alone, removed = dict[int, Request](), dict[int, Completion](), set[int]()
    completions: dict[int, Completion] = {}
    for action, number in [*actions, *[("step", 0)] * 300]:
        if action == "add":
            request = _request(number, remember=number % 2 > 0)
            one = engine.add(request)
            asked[one], alone[one] = request, _alone(decoder, request)
            told.said[number] = alone[one].drawn
        elif action == "remove" and asked:
            removed |= {one for one in [list(asked)[number % len(asked)]] if engine.remove(one)}
        elif action == "step" and engine.busy:
            completions |= {one.request: one.completion for one in engine.step() if one.completion is not None}
    assert not engine.busy
    assert sorted([*completions, *removed]) == sorted(asked)
    for number, completion in completions.items():
        assert completion.drawn == alone[number].drawn
        assert completion.logps == pytest.approx(alone[number].logps, abs=1e-4)


def test_what_stood_before_is_guessed() -> None:
    row = Row(0, Request(prompt=[1, 2, 3, 4, 5, 6, 2, 3], sampling=Sampling(max_new_tokens=9)), None)
    look_up = LookUp()
    assert look_up.guess(row, 3) == [4, 5, 6]
    row.take(4, 0.0, 0.0)
    assert look_up.guess(row, 8) == [5, 6, 2, 3, 4]
    row.take(9, 0.0, 0.0)
    assert look_up.guess(row, 8) == []
    look_up.forget(row)


def test_a_model_that_is_its_own_draft_is_always_right() -> None:
    decoder = tiny_decoder(scale=8)
    for sampling in (Sampling(temperature=0, max_new_tokens=20), Sampling(temperature=1, max_new_tokens=20)):
        request = Request(prompt=[1, 2, 3], sampling=sampling, seed=3)
        engine = Engine(decoder, speculation=Speculation(drafter=DraftModel(decoder), tokens=4))
        (completion,) = engine.run([request])
        assert completion.tokens == _alone(decoder, request).tokens
        assert engine.guesses == (15, 15), "every step but the first and the last draws five tokens"


def test_guesses_that_are_wrong_become_rare() -> None:
    decoder = tiny_decoder(scale=8)
    request = Request(prompt=PROMPT, sampling=Sampling(temperature=0, max_new_tokens=60), seed=1)
    said = _alone(decoder, request).drawn
    wrong = Told({1: [(token + 1) % 50 for token in said]}, 0.0)
    engine = Engine(decoder, speculation=Speculation(drafter=wrong, tokens=4))
    assert engine.run([request])[0].drawn == said
    assert engine.guesses == (4 * 5, 0), "after 1, 3, 7 and 15 further steps"


def test_draws_have_the_distribution_of_the_model() -> None:
    """Pearson's chi-square of second tokens, each of which stood behind a guess, right or wrong."""
    decoder, prompt, n = tiny_decoder(scale=4), [1, 2, 3], 1500
    with torch.no_grad():

        def next_tokens(sequences: list[list[int]]) -> Tensor:
            forest = Forest.from_segments([(sequence, -1) for sequence in sequences])
            ends = torch.tensor(forest.offsets[1:]) - 1
            return decoder.logits(decoder(forest, backend=reference.attention)[ends]).softmax(-1)

        (first,) = next_tokens([prompt])
        expected = n * (first[:, None] * next_tokens([[*prompt, token] for token in range(len(first))])).sum(0)
    guess = [0, *expected.topk(1).indices.tolist()]
    told = Told(dict.fromkeys(range(n), guess), 0.0)
    engine = Engine(decoder, max_rows=500, speculation=Speculation(drafter=told, tokens=1, together=2000))
    sampling = Sampling(temperature=1, max_new_tokens=3)
    completions = engine.run([Request(prompt=prompt, sampling=sampling, seed=seed) for seed in range(n)])
    guessed, right = engine.guesses
    assert guessed == n
    assert 0.02 * n < right < 0.9 * n
    observed = torch.bincount(torch.tensor([one.tokens[1] for one in completions]), minlength=len(first)).float()
    common = expected >= 5
    statistic = float(((observed - expected) ** 2 / expected)[common].sum())
    degrees = int(common.sum())
    assert degrees > 40
    assert statistic < degrees + 4 * (2 * degrees) ** 0.5


def test_guesses_keep_within_a_grammar() -> None:
    tokenizer = tiny_tokenizer()
    decoder = tiny_decoder(scale=8, vocab_size=tokenizer.vocab_size)
    grammar = Grammars(tokenizer, tokenizer.vocab_size).regex("(ab|cd){1,9}x")
    sampling = Sampling(temperature=1, max_new_tokens=30, stop=tokenizer.stop_ids)
    requests = [
        Request(prompt=tokenizer.encode("abcdab abab"), sampling=sampling, seed=seed, grammar=grammar if seed else None)
        for seed in range(4)
    ]
    plain = [_alone(decoder, request) for request in requests]
    engine = Engine(decoder, speculation=Speculation(drafter=LookUp()))
    assert [one.drawn for one in engine.run(requests)] == [one.drawn for one in plain]


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        Speculation(drafter=LookUp(), tokens=0)
    with pytest.raises(ValueError, match="does not speculate"):
        Engine(encoder_decoder(), speculation=Speculation(drafter=LookUp()))
