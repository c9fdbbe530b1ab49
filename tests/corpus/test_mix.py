"""The order of training: every window its number of times, steps of equal size, the replay share kept."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.mix import all_of, mix
from burnish.corpus.token_corpus import TokenCorpus, WindowIndex
from burnish.corpus.windows import pack
from burnish.errors import DataError

WINDOW = 8
LENGTHS = st.lists(st.integers(2, WINDOW), min_size=1, max_size=40)


def corpus(domain: list[int], general: list[int]) -> TokenCorpus:
    groups = {
        name: pack([[0] * n for n in lengths], WINDOW) for name, lengths in (("domain", domain), ("general", general))
    }
    return TokenCorpus(WINDOW, 1, groups, {name: pack([], WINDOW) for name in groups})


@given(LENGTHS, LENGTHS, st.integers(1, 60), st.floats(0, 0.8), st.integers(1, 3), st.integers(0, 5))
def test_mix(
    domain: list[int], general: list[int], tokens_per_step: int, replay: float, epochs: int, seed: int
) -> None:
    tokens = corpus(domain, general)
    steps = mix(tokens, tokens_per_step=tokens_per_step, replay=replay, seed=seed, epochs=epochs)
    windows = [window for step in steps for window in step]
    sizes = [sum(len(tokens[window]) for window in step) for step in steps]
    counts = Counter(windows)

    assert all(counts[WindowIndex("domain", number)] == epochs for number in range(len(domain)))
    replayed = [counts[WindowIndex("general", number)] for number in range(len(general))]
    assert max(replayed) - min(replayed) <= 1
    drawn = sum(len(tokens[window]) for window in windows if window.group == "general")
    assert replay * sum(sizes) <= drawn <= replay * sum(sizes) + WINDOW
    assert all(steps)
    # Sizes do not drift: after each step but the last, the total is within a window of what it should be.
    total = 0
    for number, size in enumerate(sizes[:-1], start=1):
        total += size
        assert number * tokens_per_step <= total < number * tokens_per_step + WINDOW or tokens_per_step < WINDOW
    assert [*steps] == [*mix(tokens, tokens_per_step=tokens_per_step, replay=replay, seed=seed, epochs=epochs)]


@given(LENGTHS, LENGTHS, st.integers(1, 60), st.integers(1, 3), st.integers(0, 5))
def test_all_of_a_corpus(domain: list[int], general: list[int], tokens_per_step: int, epochs: int, seed: int) -> None:
    tokens = corpus(domain, general)
    steps = all_of(tokens, tokens_per_step=tokens_per_step, seed=seed, epochs=epochs)
    windows = [window for step in steps for window in step]
    per_pass = len(domain) + len(general)
    every = {WindowIndex("domain", i) for i in range(len(domain))} | {
        WindowIndex("general", i) for i in range(len(general))
    }
    for start in range(0, len(windows), per_pass):
        assert {*windows[start : start + per_pass]} == every
    assert len(windows) == per_pass * epochs
    total = 0
    for number, step in enumerate([*steps][:-1], start=1):
        total += sum(len(tokens[window]) for window in step)
        assert number * tokens_per_step <= total < number * tokens_per_step + WINDOW or tokens_per_step < WINDOW
    assert [*steps] == [*all_of(tokens, tokens_per_step=tokens_per_step, seed=seed, epochs=epochs)]


def test_a_part_of_a_pass_over_all_and_none() -> None:
    tokens = corpus([4] * 30, [4] * 10)
    half = all_of(tokens, tokens_per_step=10**6, seed=1, epochs=0.5)
    assert half[0] == all_of(tokens, tokens_per_step=10**6, seed=1, epochs=1)[0][:20]
    with pytest.raises(DataError, match=r"epochs 0\.01 of 40 windows of text is no window"):
        all_of(tokens, tokens_per_step=8, seed=1, epochs=0.01)


def test_each_pass_and_each_seed_has_its_own_order() -> None:
    tokens = corpus([4] * 50, [4] * 50)
    (steps,) = mix(tokens, tokens_per_step=10**6, replay=0, seed=1, epochs=2)
    (other,) = mix(tokens, tokens_per_step=10**6, replay=0, seed=2, epochs=2)
    first, second = steps[:50], steps[50:]
    assert sorted(first) == sorted(second) == sorted(other[:50])
    assert first != second
    assert first != other[:50]


def test_more_epochs_begin_with_the_same_order() -> None:
    tokens = corpus([4] * 50, [4] * 20)
    one, two = ([*mix(tokens, tokens_per_step=40, replay=0.5, seed=1, epochs=epochs)] for epochs in (1, 2))
    assert two[: len(one) - 1] == one[:-1]


def test_replay_is_spread_over_the_steps() -> None:
    tokens = corpus([8] * 300, [8] * 40)
    steps = mix(tokens, tokens_per_step=80, replay=0.3, seed=1, epochs=1)
    assert {sum(window.group == "general" for window in step) for step in [*steps][:-1]} == {3}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"replay": 1.0}, "replay is 1.0; expected 0"),
        ({"replay": -0.1}, "replay is -0.1; expected 0"),
        ({"tokens_per_step": 0}, "tokens_per_step is 0"),
        ({"epochs": 0}, "epochs 0; expected at least 1"),
        ({"general": "web"}, "the corpus has no training text in group web; it has domain, general"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], expected: str) -> None:
    settings = {"tokens_per_step": 10, "replay": 0.5, "seed": 0, "epochs": 1} | arguments
    with pytest.raises(DataError, match=expected):
        mix(corpus([4], [4]), **settings)  # type: ignore[arg-type]
