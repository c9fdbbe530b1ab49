"""Sources by their shares: budgets, caps, and draws that keep to them all along."""

from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.corpus.documents import Document
from burnish.corpus.mix import all_of, mix
from burnish.corpus.mixture import Mixture, drawn
from burnish.corpus.token_corpus import TokenCorpus
from burnish.corpus.windows import pack, with_sources
from burnish.errors import DataError

SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 1000).map(float), min_size=1)


def mixture(**settings: object) -> Mixture:
    return Mixture.model_validate(settings)


@given(SIZES, st.floats(0.5, 8), st.floats(1, 5), st.floats(0.1, 20))
def test_budgets_keep_the_shares_under_the_caps(
    sizes: dict[str, float], temperature: float, max_repeats: float, epochs: float
) -> None:
    total = epochs * sum(sizes.values())
    capped = mixture(temperature=temperature, max_repeats=max_repeats)
    budgets, shares = capped.budgets(sizes, total), capped.shares(sizes)
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(budgets.values()) == pytest.approx(min(total, max_repeats * sum(sizes.values())))
    full = {name for name in sizes if budgets[name] >= max_repeats * sizes[name] * (1 - 1e-9)}
    rates = [budgets[name] / shares[name] for name in sizes if name not in full]
    assert all(rate == pytest.approx(rates[0]) for rate in rates)
    assert all(budgets[name] <= max_repeats * sizes[name] * (1 + 1e-9) for name in sizes)
    # Whoever is at its cap would have had more.
    assert all(budgets[name] / shares[name] <= rates[0] * (1 + 1e-9) for name in full if rates)


def test_shares_by_hand() -> None:
    sizes = {"large": 900.0, "small": 100.0}
    assert mixture().shares(sizes) == pytest.approx({"large": 0.9, "small": 0.1})
    assert mixture(temperature=2.0).shares(sizes) == pytest.approx({"large": 0.75, "small": 0.25})
    assert mixture(weights={"large": 7.0, "small": 3.0}).shares(sizes) == {"large": 0.7, "small": 0.3}
    assert mixture(weights={"large": 0.5, "small": 0.5}, max_repeats=2.0).budgets(sizes, 1000) == {
        "large": 800,
        "small": 200,
    }


@given(st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=1), st.integers(1, 200)), min_size=1, max_size=5))
def test_every_stretch_of_the_draws_has_the_shares_of_the_whole(streams: list[tuple[list[int], int]]) -> None:
    sizes, budgets = [sizes for sizes, _ in streams], [float(budget) for _, budget in streams]
    endless = [cycle(range(len(one))) for one in sizes]
    had = [0] * len(streams)
    for stream, item in drawn(endless, sizes, budgets):
        had[stream] += sizes[stream][item]
        done = [one / budget for one, budget in zip(had, budgets, strict=True)]
        assert max(done) - min(min(done), 1) <= max(9 / budget for budget in budgets) + 1e-9
    assert all(budget <= one < budget + 9 for one, budget in zip(had, budgets, strict=True))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"weights": {"a": 1.0}, "temperature": 2.0}, ("temperature", "got 2 beside weights")),
        ({"weights": {"a": -1.0}}, ("weights", "expected shares of 0 or more")),
        ({"weights": {"a": 0.0}}, ("weights", "not all of them 0")),
        ({"weights": {"a": 1.0}}, None),
    ],
)
def test_settings_that_contradict(settings: dict[str, object], expected: tuple[str, str] | None) -> None:
    problem = mixture(**settings).problem()
    assert (problem is None) == (expected is None)
    if problem is not None and expected is not None:
        assert problem[0] == expected[0]
        assert expected[1] in problem[1]


def test_weights_of_other_sources_than_there_are() -> None:
    with pytest.raises(DataError, match=r"got weights for a, c, but there are a, b: .* \(b, c\)"):
        mixture(weights={"a": 1.0, "c": 1.0}).shares({"a": 1.0, "b": 1.0})


def documents(lengths: dict[str, int]) -> list[Document]:
    return [Document(f"{name}{i}", name, name) for name, count in lengths.items() for i in range(count)]


def corpus(settings: Mixture | None, *, ordered: bool = False) -> TokenCorpus:
    of_group = {"domain": documents({"handbook": 20, "wiki": 60}), "general": documents({"web": 20})}
    train = {
        group: with_sources(pack([[0] * 8 for _ in rows], 8), [row.source for row in rows])
        for group, rows in of_group.items()
    }
    return TokenCorpus(8, 1, train, {group: pack([], 8) for group in train}, mixture=settings, ordered=ordered)


def source(tokens: TokenCorpus, group: str, number: int) -> str:
    windows = tokens.train[group]
    return windows.source_names[windows.sources[number]]


def test_training_reads_sources_by_their_weights_beside_the_replay() -> None:
    tokens = corpus(mixture(weights={"handbook": 0.7, "wiki": 0.3}))
    order = mix(tokens, tokens_per_step=80, replay=0.2, seed=0, epochs=1)
    for step in order:
        names = [source(tokens, *window) for window in step]
        assert names.count("web") in (2, 3)
        assert names.count("handbook") in (5, 6, 7)
    domain = [source(tokens, *window) for step in order for window in step if window.group == "domain"]
    assert (domain.count("handbook"), domain.count("wiki")) == (56, 24)


def test_a_cap_on_repeats_gives_its_rest_to_the_other_sources() -> None:
    tokens = corpus(mixture(weights={"handbook": 0.7, "wiki": 0.3}, max_repeats=2.0))
    order = mix(tokens, tokens_per_step=80, replay=0, seed=0, epochs=1)
    read = [window for step in order for window in step]
    assert [source(tokens, *window) for window in read].count("handbook") == 40
    assert len(read) == 80
    assert max(read.count(window) for window in read) == 2


def test_what_is_ordered_is_read_as_it_lies_in_every_pass() -> None:
    tokens = corpus(None, ordered=True)
    read = [window for step in mix(tokens, tokens_per_step=80, replay=0.0, seed=0, epochs=2) for window in step]
    assert [window.number for window in read] == [*range(80), *range(80)]
    both = [window for step in all_of(tokens, tokens_per_step=80, seed=0, epochs=1) for window in step]
    for group, size in (("domain", 80), ("general", 20)):
        assert [window.number for window in both if window.group == group] == [*range(size)]
    # Neither group is read behind the other.
    assert 9 <= sum(window.group == "general" for window in both[:50]) <= 11
