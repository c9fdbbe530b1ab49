"""Rows of CSV files."""

import gzip
from pathlib import Path

import pytest

from burnish.corpus.records import Problems, read_rows
from burnish.datasets.rows import read_tasks
from burnish.errors import DataError
from burnish.rewards.choice import read_options

CMMLU = ',Question,A,B,C,D,Answer\n0,"Wo steht es, genau?",im Text,nirgends,"hier, dort",oben,C\n'
MMLU = 'What is 2 + 2?,3,4,5,6,B\n"Which, of these?",x,y,z,w,D\n'


def write(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_the_first_line_names_the_columns(tmp_path: Path) -> None:
    (row,) = read_rows(write(tmp_path / "cmmlu.csv", CMMLU))
    assert (row.line, row.value["Question"], row.value["C"]) == (2, "Wo steht es, genau?", "hier, dort")
    assert "" not in row.value
    packed = write(tmp_path / "packed.csv.gz", gzip.compress(("\ufeff" + CMMLU).encode()))
    assert [one.value for one in read_rows(packed)] == [row.value]
    tabs = write(tmp_path / "a.tsv", "prompt\tanswer\nHow many, then?\t3\n\nWho?\t\n")
    assert [one.value for one in read_rows(tabs)] == [{"prompt": "How many, then?", "answer": "3"}, {"prompt": "Who?"}]
    semicolons = write(tmp_path / "b.csv", 'prompt;answer\n"a, b;\nc";2\n')
    assert [(one.line, one.value) for one in read_rows(semicolons)] == [(3, {"prompt": "a, b;\nc", "answer": "2"})]


def test_files_of_mmlu_and_cmmlu_are_tasks(tmp_path: Path) -> None:
    write(tmp_path / "algebra_test.csv", MMLU)
    write(tmp_path / "art_test.csv", MMLU)
    tasks = read_tasks(tmp_path / "*_test.csv", columns={"prompt": "question"})
    assert len(tasks) == 4
    options = read_options(tasks[1].row, ("A", "B", "C", "D"), "answer")
    assert (options.texts, options.right, options.labels) == (("x", "y", "z", "w"), 3, ("A", "B", "C", "D"))
    (task,) = read_tasks(write(tmp_path / "cmmlu.csv", CMMLU), columns={"prompt": "Question"})
    assert read_options(task.row, ["A", "B", "C", "D"], "Answer").texts[2] == "hier, dort"
    with pytest.raises(DataError, match=r"'A, E': got \{'A': 'im Text', 'E': None\}; expected a list"):
        read_options(task.row, ["A", "E"], "Answer")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    problems = Problems()
    file = write(tmp_path / "a.csv", "prompt,answer\na,1\nb\nc,2,3\n")
    assert [row.line for row in read_rows(file, problems=problems)] == [2]
    with pytest.raises(DataError, match=r"a\.csv:3: 1 cells, where the first line names 2[\s\S]*a\.csv:4: 3 cells"):
        problems.raise_if_any()
    for text, message in (
        ("prompt,prompt\na,b\n", "the column 'prompt' is there twice"),
        ('prompt,answer\n"a"b,1\n', r"2: not a table of cells"),
        ("prompt,answer\nä,1\n".encode("latin-1"), "is not UTF-8"),
        ("prompt,answer\n", "the file holds no rows"),
    ):
        with pytest.raises(DataError, match=message):
            list(read_rows(write(tmp_path / "bad.csv", text)))
