"""Questions of WordNet: one right choice among four, the same for the same seed."""

from pathlib import Path

import pytest

from burnish.errors import DataError
from burnish.evaluation.wordnet import FOLDERS_TRIED, WordNet, find_wordnet, questions, read_wordnet
from wordnet_files import NOUNS, write_wordnet


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    return read_wordnet(write_wordnet(tmp_path / "wordnet"))


def word_of(prompt: str) -> str:
    return prompt.split('"')[1]


def test_nouns_with_their_meanings(wordnet: WordNet) -> None:
    assert sorted(wordnet.common) == sorted(NOUNS)
    robin = wordnet.synsets[wordnet.common["robin"]]
    assert robin.words == ("robin", "redbreast")
    assert robin.definition == "small, with a red breast"
    names = {wordnet.synsets[place].words[0] for place in wordnet.ancestors(wordnet.common["robin"])}
    assert names == {"bird", "animal", "thing"}


def test_one_choice_is_the_words_own_definition(wordnet: WordNet) -> None:
    rows = questions(wordnet, "definitions", 50, seed=0)
    assert sorted(word_of(row["prompt"]) for row in rows) == sorted(NOUNS)
    for row in rows:
        word = word_of(row["prompt"])
        assert len({*row["choices"]}) == 4
        assert row["choices"][row["answer"]] == " " + NOUNS[word][0].partition(";")[0]
        assert row["prompt"].startswith(f'Question: What does the noun "{word}" mean?')
    places = {row["answer"] for seed in range(4) for row in questions(wordnet, "definitions", 50, seed=seed)}
    assert places == {0, 1, 2, 3}


def test_no_wrong_choice_is_a_more_general_word(wordnet: WordNet) -> None:
    rows = questions(wordnet, "hypernyms", 50, seed=0)
    assert {word_of(row["prompt"]) for row in rows} == {*NOUNS} - {"thing"}
    for row in rows:
        place = wordnet.common[word_of(row["prompt"])]
        right = {wordnet.synsets[parent].words[0] for parent in wordnet.ancestors(place)}
        assert [choice.strip() in right for choice in row["choices"]].index(True) == row["answer"]
        assert sum(choice.strip() in right for choice in row["choices"]) == 1


def test_questions_are_a_function_of_the_seed(wordnet: WordNet) -> None:
    assert questions(wordnet, "definitions", 5, seed=1) == questions(wordnet, "definitions", 5, seed=1)
    assert questions(wordnet, "definitions", 5, seed=1) != questions(wordnet, "definitions", 5, seed=2)


def test_what_is_no_wordnet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index\.noun and data\.noun in .*install Debian's wordnet-base"):
        find_wordnet(tmp_path)
    folder = write_wordnet(tmp_path / "wordnet")
    assert find_wordnet(folder) == folder
    (folder / "data.noun").write_text("hello | world\n")
    with pytest.raises(DataError, match=r"data\.noun:1: no line of WordNet's data\.noun"):
        read_wordnet(folder)


def test_the_installed_one() -> None:
    if not any((Path(name) / "index.noun").is_file() for name in FOLDERS_TRIED):
        pytest.skip("WordNet is not installed: apt install wordnet-base")
    found = read_wordnet(find_wordnet())
    assert len(found.common) > 5000
    assert len(questions(found, "definitions", 300, seed=0)) == 300
