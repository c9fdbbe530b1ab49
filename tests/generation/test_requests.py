"""Requests that come and go between steps: each gets the tokens that it would get alone."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.forest import Forest
from burnish.generation import batch
from burnish.generation.cache import KVCache, step_together
from burnish.generation.engine import Engine, generate, stream
from burnish.generation.request import Completion, Request, derived_seed
from burnish.generation.rows import Row
from burnish.generation.sampling import Sampling
from burnish.nn.attention import reference
from burnish.nn.decoder import Decoder
from tiny_models import TINY, tiny_decoder
from workshop import tiny_tokenizer

SAMPLINGS = (
    Sampling(temperature=0, max_new_tokens=9),
    Sampling(temperature=1, max_new_tokens=12),
    Sampling(temperature=0.7, top_k=5, max_new_tokens=5, stop=frozenset(range(20))),
    Sampling(temperature=1.3, top_p=0.8, repetition_penalty=1.5, max_new_tokens=8, stop=frozenset([3])),
)


def _request(number: int, **options: Any) -> Request:
    prompt = [*range(20), number % 7] if number % 3 else [number % 50, 4, 5]
    return Request(prompt=prompt, sampling=SAMPLINGS[number % len(SAMPLINGS)], seed=number, **options)


def _alone(decoder: Decoder, request: Request) -> Completion:
    (completion,) = Engine(decoder).run([request])
    return completion


def _finish(engine: Engine) -> dict[int, Completion]:
    found = {}
    while engine.busy:
        found |= {one.request: one.completion for one in engine.step() if one.completion is not None}
    return found


def test_a_request_gets_the_same_tokens_alone_and_among_63_others() -> None:
    decoder = tiny_decoder(scale=8)
    requests = [_request(number) for number in range(64)]
    together = Engine(decoder).run(requests)
    for request, one in zip(requests, together, strict=True):
        alone = _alone(decoder, request)
        assert (one.drawn, one.finish_reason) == (alone.drawn, alone.finish_reason)
        assert one.logps == pytest.approx(alone.logps, abs=1e-4)
    assert len({tuple(one.tokens) for one in together}) > 20


@given(st.lists(st.tuples(st.sampled_from(["add", "step", "step", "remove"]), st.integers(0, 99)), max_size=60))
@settings(max_examples=20)
def test_any_interleaving_gives_the_tokens_of_a_fresh_engine(actions: list[tuple[str, int]]) -> None:
    decoder = tiny_decoder(scale=8)
    engine = Engine(decoder, max_rows=7)
    asked: dict[int, Request] = {}
    found: dict[int, list[int]] = {}
    removed: set[int] = set()
    for action, number in actions:
        if action == "add":
            asked[engine.add(_request(number))] = _request(number)
        elif action == "remove" and asked:
            removed |= {one for one in [list(asked)[number % len(asked)]] if engine.remove(one)}
        elif action == "step":
            for drawn in engine.step():
                assert drawn.request not in removed
                found.setdefault(drawn.request, []).append(drawn.token)
    completions = _finish(engine)
    assert not engine.running
    assert not engine.waiting
    for number, request in asked.items():
        alone = _alone(decoder, request)
        if number in completions:
            assert completions[number].drawn == alone.drawn
            assert completions[number].logps == pytest.approx(alone.logps, abs=1e-4)
        else:
            assert found.get(number, []) == alone.drawn[: len(found.get(number, []))]
            assert number in removed or found[number] == alone.drawn


def test_a_late_request_joins_between_two_steps_and_a_finished_one_leaves_at_once() -> None:
    engine = Engine(tiny_decoder(), max_rows=2)
    short = engine.add(Request(prompt=[1, 2], sampling=Sampling(max_new_tokens=2)))
    engine.step()
    late = engine.add(Request(prompt=[3], sampling=Sampling(max_new_tokens=4)))
    waits = engine.add(Request(prompt=[4], sampling=Sampling(max_new_tokens=1)))
    assert engine.waiting == 2
    assert [one.request for one in engine.step()] == [short, late]
    assert (engine.running, engine.waiting) == (1, 1)
    assert sorted(one.request for one in engine.step()) == [late, waits]
    assert not engine.remove(short)
    assert engine.remove(late)
    assert not engine.remove(late)
    assert engine.step() == []


def test_who_works_together_joins_in_groups() -> None:
    engine = Engine(tiny_decoder(), max_rows=4, join_at=2)
    for n in (1, 3, 3, 3, 1, 1):
        engine.add(Request(prompt=[n], sampling=Sampling(max_new_tokens=n)))
    assert [len(engine.step()) for _ in range(4)] == [4, 3, 3, 2]
    assert not engine.busy


def test_draws_are_a_function_of_seed_and_place() -> None:
    def draws(seed: int, n: int) -> list[float]:
        row = Row(0, Request(prompt=[1], sampling=Sampling(max_new_tokens=n), seed=seed), None)
        found = []
        for _ in range(n):
            found.append(row.uniform())
            assert row.uniform() == found[-1], "asking again draws nothing new"
            row.take(5, 0.0, 0.0)
        return found

    assert draws(3, 150)[:70] == draws(3, 70)
    assert draws(3, 4) != draws(4, 4)
    assert draws(3, 3) == pytest.approx([0.9342820048332214, 0.07916146516799927, 0.3828279376029968])
    many = torch.tensor([value for seed in range(40) for value in draws(derived_seed(1, seed), 200)])
    assert 0 <= many.min() < many.max() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(torch.histc(many, 10, 0, 1) / len(many), torch.full((10,), 0.1), atol=0.015, rtol=0)


def test_generate_and_stream_draw_alike_whatever_the_batch() -> None:
    decoder, sampling = tiny_decoder(), Sampling(max_new_tokens=6)
    prompts = [[1, 2, 3], [4], [5, 6]]
    whole, split = (generate(decoder, prompts, sampling, n=2, seed=5, batch_size=size) for size in (128, 2))
    assert [[one.tokens for one in each] for each in whole] == [[one.tokens for one in each] for each in split]
    assert whole[0][0].tokens == list(stream(decoder, prompts[0], sampling, seed=5))


def test_stops_belong_to_the_request() -> None:
    tokenizer = tiny_tokenizer()
    decoder = tiny_decoder(scale=8, vocab_size=tokenizer.vocab_size)
    greedy = Sampling(temperature=0, max_new_tokens=12)
    free = _alone(decoder, Request(prompt=[1, 2, 3], sampling=greedy))
    text = tokenizer.decode(free.tokens)
    token = free.tokens[2]
    requests = [
        Request(prompt=[1, 2, 3], sampling=one)
        for one in (greedy, replace(greedy, stop=frozenset([token])), replace(greedy, stop_strings=(text[3:5],)))
    ]
    whole, by_token, by_string = Engine(decoder, tokenizer=tokenizer).run(requests)
    assert whole.tokens == free.tokens
    assert by_token.drawn == free.tokens[: free.tokens.index(token) + 1]
    assert by_token.stop == token
    assert by_string.text == text[: text.index(text[3:5])]
    assert by_string.finish_reason == "stop"
    with pytest.raises(ValueError, match="give the tokenizer"):
        Engine(decoder).run(requests)
    with pytest.raises(ValueError, match="at least one token"):
        Engine(decoder).add(Request(prompt=[]))


def test_alternatives_are_the_most_probable_tokens() -> None:
    decoder = tiny_decoder(scale=8)
    engine = Engine(decoder)
    some = Request(prompt=[1, 2], sampling=Sampling(max_new_tokens=3), alternatives=4)
    wants, wants_none = engine.add(some), engine.add(replace(some, alternatives=0))
    sequence = [1, 2]
    while engine.busy:
        by_request = {drawn.request: drawn for drawn in engine.step()}
        forest = Forest(torch.tensor(sequence), (len(sequence),), (-1,))
        with torch.no_grad():
            logps = decoder.logits(decoder(forest, backend=reference.attention)[-1]).log_softmax(-1)
        drawn = by_request[wants]
        assert [token for token, _ in drawn.alternatives] == logps.topk(4).indices.tolist()
        torch.testing.assert_close(
            torch.tensor([logp for _, logp in drawn.alternatives]), logps.topk(4).values, rtol=1e-4, atol=1e-4
        )
        assert by_request[wants_none].alternatives == ()
        assert drawn.token == by_request[wants_none].token
        sequence.append(drawn.token)


@pytest.mark.parametrize("changes", [{}, {"sliding_window": 5}, {"attention_softcap": 2.0}, {"positions": "learned"}])
def test_joined_caches_go_on_as_whole_sequences(changes: dict[str, Any]) -> None:
    decoder = Decoder(replace(TINY, **changes)).eval()
    for name, parameter in decoder.named_parameters():
        if "norm" not in name:
            parameter.data.mul_(8)
    shared = [(7 * i) % 50 for i in range(20)]
    waves = [[[*shared, 1], [*shared, 2], [3]], [[4, 5]], [[6], [*shared, 7], [8, 9]]]
    caches, sequences = [], []
    with torch.no_grad():
        for rows in waves:
            for number in range(3 * len(caches)):  # each joins three steps after the one before
                tokens = [(number + row) % 50 for row in range(len(sequences))]
                step_together(decoder, caches, torch.tensor(tokens))
                sequences = [[*sequence, token] for sequence, token in zip(sequences, tokens, strict=True)]
            forest, ends = Forest.from_sequences(rows)
            order = sorted(range(len(rows)), key=ends.__getitem__)
            caches.append(KVCache(decoder, forest, [ends[row] for row in order], first_block=2))
            sequences += [rows[row] for row in order]
        first, second, third = caches
        first.join(second)
        kept = [0, 2, 3]
        first.keep(torch.tensor(kept))
        first.join(third)
        sequences = [sequences[row] for row in (*kept, 4, 5, 6)]
        for step in range(4):
            tokens = [(step + 3 * row) % 50 for row in range(6)]
            hidden = first.step(torch.tensor(tokens))
            sequences = [[*sequence, token] for sequence, token in zip(sequences, tokens, strict=True)]
            for row, sequence in enumerate(sequences):
                forest = Forest(torch.tensor(sequence), (len(sequence),), (-1,))
                expected = decoder(forest, backend=reference.attention)[-1]
                torch.testing.assert_close(hidden[row], expected, rtol=1e-4, atol=1e-4)


def test_weights_are_packed_for_few_numbers_of_rows() -> None:
    packed = {batch._rounded(rows) for rows in range(1, 65)}
    assert len(packed) == 20
    assert all(rows <= batch._rounded(rows) <= max(rows, 1.25 * rows) for rows in range(1, 1000))
    assert [batch._rounded(rows) for rows in (40, 64, 128, 160)] == [40, 64, 128, 160]
