"""A graph of what passages speak of, for questions whose answer stands in passages that share no word with them.

A passage that answers the second half of a question may have no word of it: it is found over what the first half leads
to. Passages are linked with the entities that they name: identifiers, names of several words, titles of their sections.
From the passages that a question finds, and the entities that it names, a random walk with restarts comes to those that
are linked with them (personalized PageRank: Haveliwala 2002; over passages: Gutiérrez 2024, arXiv:2405.14831).

Notable choices:
- entities are taken by their form, so that no model and no service is needed, and the same text gives the same graph;
- what one passage alone names links nothing, and what many name says nothing: both are left out;
- a passage that explains an entity, in a line that begins with it or below its title, is come to before those that only
  mention it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

RESTART = 0.5
"""Share of the walk that begins anew in each step, as in HippoRAG."""
STEPS = 12
"""After which a thousandth of the walk is still on its way."""
MOST_PASSAGES = 0.02
"""Share of the passages that may name an entity; one that more do is a word of the language here."""
LEAST_ALLOWED = 20
"""Passages that may name an entity however few there are."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+")
_IDENTIFIER = re.compile(r"[A-Za-z]\w*_\w+|\b[A-Za-z]+[a-z][A-Z]\w*|\b[A-Z][A-Z0-9]{2,}\b")
_CODE = re.compile(r"`([^`\n]{2,60})`")
_NAME = re.compile(r"\b[A-Z][a-z]+(?:[ -][A-Z][a-z]+)+\b")
_EXPLAINED = re.compile(
    r"^[ \t#*`-]*(?:\.\. \w+:: +|(?:\*?(?:async|def|class|exception|coroutine|classmethod|staticmethod)\*? +)+)?"
    r"([A-Za-z_][\w.]*)\(",
    re.MULTILINE,
)
_CALL = re.compile(r"\b([A-Za-z_]\w+)\(")
EXPLAINED = 10.0
"""Weight of the link to a passage that explains an entity; of others it is 1."""
LONGEST_ENTITY = 60


def entities(text: str, heading: str = "") -> dict[str, float]:
    """What a passage names, with the weight of the link: `EXPLAINED` where it explains it, else 1.

    Identifiers, calls, code in backticks, names of several words, and the titles above it.
    """
    dotted = _DOTTED.findall(text)
    found = {*dotted, *_IDENTIFIER.findall(text), *_CALL.findall(text), *_NAME.findall(text)}
    found.update(code.strip("~!.() ") for code in _CODE.findall(text))
    # What is called by its whole name here stands under the last part of it where it is explained.
    found.update(name.rpartition(".")[2] for name in dotted)
    explained = {name.rpartition(".")[2] for name in _EXPLAINED.findall(text)} | {*_EXPLAINED.findall(text)}
    explained.update(title.strip("` ") for title in heading.split(" > "))
    named = dict.fromkeys(found, 1.0) | dict.fromkeys(explained, EXPLAINED)
    return {one.lower(): weight for one, weight in named.items() if 2 < len(one) <= LONGEST_ENTITY}


class Graph:
    """Passages and entities, linked.

    names: the entities, in order. passages, nodes: `[links]` int32, of each link its passage and its entity; weights:
    `[links]` float32, how strongly the entity leads to the passage.
    """

    def __init__(
        self,
        names: Sequence[str],
        passages: NDArray[np.int32],
        nodes: NDArray[np.int32],
        weights: NDArray[np.float32],
        n_passages: int,
    ) -> None:
        ends = ((passages, n_passages), (nodes, len(names)))
        if not len(passages) == len(nodes) == len(weights) or any(
            len(of) and not 0 <= of.min() <= of.max() < end for of, end in ends
        ):
            raise ValueError("links of nothing")
        self.names = list(names)
        self.passages, self.nodes, self.weights, self.n_passages = passages, nodes, weights, n_passages
        self._places: Mapping[str, int] = {name: place for place, name in enumerate(self.names)}
        degree = np.bincount(nodes, minlength=len(self.names))
        # What few passages name links them more strongly.
        self._strength = np.log((1 + n_passages) / np.maximum(degree, 1))[nodes] if len(nodes) else np.zeros(0)
        out = np.bincount(passages, weights=self._strength, minlength=n_passages)
        self._from_passage = self._strength / np.maximum(out[passages], 1e-12)
        leads = np.bincount(nodes, weights=weights, minlength=len(self.names))
        self._from_node = weights / np.maximum(leads, 1e-12)[nodes]

    @classmethod
    def build(cls, named: Iterable[Mapping[str, float]]) -> "Graph":
        """Link passages, each given by the entities that it names and the weights of these links."""
        named = list(named)
        counts = Counter(name for of_passage in named for name in of_passage)
        most = max(LEAST_ALLOWED, MOST_PASSAGES * len(named))
        places = {name: i for i, name in enumerate(sorted(name for name, n in counts.items() if 1 < n <= most))}
        links = [
            (passage, places[name], of_passage[name])
            for passage, of_passage in enumerate(named)
            for name in sorted(of_passage)
            if name in places
        ]
        passages, nodes, weights = np.array(links, dtype=np.float64).reshape(-1, 3).T
        return cls(
            list(places),
            passages.astype(np.int32),
            nodes.astype(np.int32),
            weights.astype(np.float32),
            len(named),
        )

    def named_in(self, text: str) -> list[int]:
        """The entities of the graph that a question names, in any case of letters."""
        words = re.findall(r"[\w.]+", text.lower())
        phrases = {" ".join(words[i : i + n]).strip(".") for n in (1, 2, 3, 4) for i in range(len(words) - n + 1)}
        return sorted(self._places[one] for one in phrases | {*entities(text)} if one in self._places)

    def walk(self, seeds: Mapping[int, float], entity_seeds: Sequence[int] = ()) -> Weights:
        """How much of the walk comes to each passage over links, `[n_passages]`, where it begins by `seeds`' weights.

        What begins at a passage is not counted as coming to it. entity_seeds: entities that it begins at as well,
        together as often as at the passages.
        """
        begin, begin_nodes = np.zeros(self.n_passages), np.zeros(len(self.names))
        for passage, weight in seeds.items():
            begin[passage] = weight
        begin_nodes[list(entity_seeds)] = 1.0
        begin, begin_nodes = _shares(begin), _shares(begin_nodes)
        total = (begin.sum() + begin_nodes.sum()) or 1.0
        begin, begin_nodes = begin / total, begin_nodes / total
        at, at_nodes, to_passages = begin, begin_nodes, np.zeros_like(begin)
        for _ in range(STEPS):
            to_nodes = _summed(self.nodes, at[self.passages] * self._from_passage, len(self.names))
            to_passages = _summed(self.passages, at_nodes[self.nodes] * self._from_node, self.n_passages)
            at = RESTART * begin + (1 - RESTART) * to_passages
            at_nodes = RESTART * begin_nodes + (1 - RESTART) * to_nodes
        return to_passages


def _summed(places: NDArray[np.int32], weights: Weights, length: int) -> Weights:
    """The weights of each place, added; with nothing to add NumPy would count in whole numbers."""
    return np.bincount(places, weights=weights, minlength=length).astype(np.float64)


def _shares(weights: Weights) -> Weights:
    total = weights.sum()
    return weights / total if total else weights
