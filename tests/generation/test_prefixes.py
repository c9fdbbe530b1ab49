"""The tree of prefixes, and requests that go on from what it holds: the same tokens as without it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from burnish.forest import Forest
from burnish.generation.engine import Engine
from burnish.generation.prefill import cut_known, prefill
from burnish.generation.prefixes import Prefix, PrefixTree
from burnish.generation.request import Completion, Request
from burnish.generation.sampling import Sampling
from tiny_models import TINY, encoder_decoder, tiny_decoder

A_TOKEN = 4 * 2 * TINY.n_layers * TINY.n_kv_heads * TINY.head_dim
sequences = st.lists(st.integers(0, 2), min_size=1, max_size=9)


def _states(sequence: Sequence[int], start: int, stop: int) -> Tensor:
    """What stands for keys and values: for each token the path to it, as a number."""
    paths = [hash(tuple(sequence[: place + 1])) % 9973 for place in range(start, stop)]
    return torch.tensor(paths, dtype=torch.float32).view(1, 1, -1, 1, 1).expand(1, 2, -1, 1, 1)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "add", "release", "read"]), sequences, st.integers(0, 99)), max_size=40),
    st.sampled_from([0, 40, 120, 10_000]),
)
@settings(max_examples=80)
def test_a_tree_holds_what_was_added_within_its_budget(actions: list[tuple[str, list[int], int]], budget: int) -> None:
    tree, pinned, added = PrefixTree(budget), list[tuple[Prefix, list[int]]](), list[list[int]]()
    for action, sequence, number in actions:
        if action == "add":
            before = tree.stored(sequence)
            missing = []

            def states(start: int, stop: int, sequence: list[int] = sequence, missing: list[int] = missing) -> Tensor:
                missing.append(start)
                return _states(sequence, start, stop)

            pinned.append((tree.add(sequence, states), sequence))
            added.append(sequence)
            assert missing == ([before] if before < len(sequence) else [])
        elif action == "release" and pinned:
            tree.release(pinned.pop(number % len(pinned))[0])
        else:
            n = tree.stored(sequence)
            assert n <= max([_shared(sequence, other) for other in added], default=0)
            if n:
                assert torch.equal(tree.read(sequence, n // 2, n), _states(sequence, n // 2, n))
        for _, held in pinned:
            assert tree.stored(held) == len(held)
            assert torch.equal(tree.read(held, 0, len(held)), _states(held, 0, len(held)))
        nodes = list(tree)
        assert tree.n_bytes == sum(node.states.nbytes for node in nodes)
        assert all(node.states.untyped_storage().nbytes() == node.states.nbytes for node in nodes), "no hidden bytes"
        paths = {tuple(held[: n + 1]) for _, held in pinned for n in range(len(held))}
        assert tree.n_bytes <= max(budget, 2 * 4 * len(paths) + 2 * 4 * 9)
        assert all(len(node.tokens) == node.states.shape[2] for node in nodes)
    for node, _ in pinned:
        tree.release(node)
    assert tree.n_bytes <= budget
    tree.clear()
    assert list(tree) == []
    assert tree.n_bytes == 0


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    return next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_what_was_longest_not_used_goes_first() -> None:
    tree = PrefixTree(3 * 8 * 2)
    for sequence in ([1, 2], [3, 4], [5, 6]):
        tree.release(tree.add(sequence, lambda start, stop: _states([0] * 9, start, stop)))
    tree.release(tree.add([1, 2], _fails))
    tree.release(tree.add([7, 8], lambda start, stop: _states([0] * 9, start, stop)))
    assert [tree.stored(one) for one in ([1, 2], [3, 4], [5, 6], [7, 8])] == [2, 0, 2, 2]
    with pytest.raises(ValueError, match="0 tokens are stored"):
        tree.read([3, 4], 0, 1)
    tree.add([5], _fails)
    with pytest.raises(ValueError, match="being answered"):
        tree.clear()


def _fails(start: int, stop: int) -> Tensor:
    raise AssertionError("nothing is missing")


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=40), min_size=1, max_size=5), st.data())
@settings(max_examples=15)
def test_what_is_new_runs_as_if_all_did(prompts: list[list[int]], data: st.DataObject) -> None:
    decoder = tiny_decoder(scale=8)
    forest, ends = Forest.from_sequences(prompts, min_shared=2)
    with torch.no_grad():
        whole = prefill(decoder, forest)
        known = [data.draw(st.integers(0, len(prompt) - 1)) for prompt in prompts]
        cut, cut_ends, knows = cut_known(forest, ends, known)
        states = {}
        for segment, sequence in knows.items():
            first = cut.first_positions[segment]
            path = forest.path(ends[sequence])[first : first + cut.lengths[segment]]
            states[segment] = whole.states(path)
        found = prefill(decoder, cut, known=states)
    assert len(found.hidden) == sum(length for s, length in enumerate(cut.lengths) if s not in knows)
    for prompt, end, cut_end in zip(prompts, ends, cut_ends, strict=True):
        assert cut.tokens[cut.path(cut_end)].tolist() == prompt
        torch.testing.assert_close(found.states(cut.path(cut_end)), whole.states(forest.path(end)))
        torch.testing.assert_close(found.last_hidden([cut_end]), whole.last_hidden([end]), rtol=1e-4, atol=1e-4)


TALK = [(7 * i) % 50 for i in range(30)]


def _request(number: int) -> Request:
    prompt = [*TALK[: 3 + 5 * (number % 6)], number % 4, *range(number % 3)]
    sampling = Sampling(temperature=number % 2, max_new_tokens=1 + number % 7)
    return Request(prompt=prompt, sampling=sampling, seed=number, remember=number % 3 > 0)


@given(
    st.lists(st.tuples(st.sampled_from(["add", "step", "step", "remove", "forget"]), st.integers(0, 99)), max_size=60),
    st.sampled_from([0, 20 * A_TOKEN, 60 * A_TOKEN, 2**30]),
    st.sampled_from([None, 1, 7, 50]),
)
@settings(max_examples=25)
def test_any_interleaving_gives_the_tokens_of_a_fresh_engine(
    actions: list[tuple[str, int]], budget: int, prefill_tokens: int | None
) -> None:
    decoder = tiny_decoder(scale=8)
    engine = Engine(decoder, max_rows=5, cache_bytes=budget, prefill_tokens=prefill_tokens)
    asked: dict[int, Request] = {}
    removed: set[int] = set()
    completions: dict[int, Completion] = {}
    for action, number in [*actions, *[("step", 0)] * 400]:
        if action == "add":
            request = _request(number)
            if asked and number % 4 == 0 and (done := sorted(completions)):  # a conversation goes on
                before = done[number % len(done)]
                request = Request(
                    prompt=[*asked[before].prompt, *completions[before].drawn, number % 5],
                    sampling=request.sampling,
                    seed=number,
                    remember=True,
                )
            asked[engine.add(request)] = request
        elif action == "remove" and asked:
            removed |= {one for one in [list(asked)[number % len(asked)]] if engine.remove(one)}
        elif action == "forget" and not engine.running:
            engine.forget()
            assert engine.cached_bytes == 0
        elif action == "step" and engine.busy:
            completions |= {one.request: one.completion for one in engine.step() if one.completion is not None}
    assert not engine.busy
    assert engine.cached_bytes <= budget
    assert sorted([*completions, *removed]) == sorted(asked)
    for number, completion in completions.items():
        (alone,) = Engine(decoder).run([asked[number]])
        assert completion.drawn == alone.drawn
        assert completion.logps == pytest.approx(alone.logps, abs=1e-4)


def test_a_prompt_goes_on_from_what_an_earlier_one_began_with() -> None:
    decoder = tiny_decoder(scale=8)
    engine = Engine(decoder, cache_bytes=2**20)
    talk = Request(prompt=[*TALK, 1], sampling=Sampling(temperature=0, max_new_tokens=6), remember=True)
    (first,) = engine.run([talk])
    again, other = engine.run([talk, Request(prompt=[*TALK, 2, 3], sampling=talk.sampling)])
    assert (first.reused, again.reused, other.reused) == (0, 30, 30)
    further = [*TALK, 1, *first.tokens, 9]
    (answered,) = engine.run([Request(prompt=further, sampling=talk.sampling)])
    assert answered.reused == len(further) - 2, "all but the question and the last token of the answer, never fed back"
    assert engine.cached_bytes == A_TOKEN * (31 + 5 + 2 + 2)


def test_long_prompts_run_in_portions_between_the_steps_of_others() -> None:
    decoder = tiny_decoder()
    engine = Engine(decoder, prefill_tokens=10, cache_bytes=2**20)
    short = engine.add(Request(prompt=[1, 2], sampling=Sampling(max_new_tokens=9)))
    engine.step()
    long = engine.add(Request(prompt=TALK, sampling=Sampling(max_new_tokens=1)))
    same = engine.add(Request(prompt=[*TALK[:25], 1], sampling=Sampling(max_new_tokens=1)))
    got = [[drawn.request for drawn in engine.step()] for _ in range(4)]
    assert got == [[short], [short], [short, long], [short, same]]
    assert engine.remove(short)
    assert engine.cached_bytes == A_TOKEN * (2 + 30 + 1)
    with pytest.raises(ValueError, match="at least 1"):
        Engine(decoder, prefill_tokens=0)
    with pytest.raises(ValueError, match="keeps no prompts"):
        Engine(encoder_decoder(), cache_bytes=1)


def test_tokens_are_compared_as_numbers() -> None:
    tree = PrefixTree(10_000)
    tree.add(np.array([1, 2, 3]), lambda start, stop: _states([1, 2, 3], start, stop))
    assert tree.stored([1, 2, 3, 4]) == 3
    assert tree.stored(torch.tensor([1, 2, 4]).numpy()) == 2
