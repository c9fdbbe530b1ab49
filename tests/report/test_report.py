"""The report of a run: complete, self-contained, generic, and safe against what a model writes."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import DataError
from burnish.report.run_page import write_report
from burnish.runs.record import read_run

VOID = {"meta", "link", "br", "line", "polyline", "img", "hr", "input"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> </pre></body>\x1b[31m \u202e \ud800 {{ 7 * 7 }} &lt;"


class Page(HTMLParser):
    """Collects tags, attributes and text, and fails where a tag is closed that is not open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += f"{data} "

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def read(run: Path) -> Page:
    return Page(write_report(run).read_text(encoding="utf-8"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def test_it_shows_what_the_run_achieved(run_folder: Path) -> None:
    words = read(run_folder).words
    summary = json.loads((run_folder / "summary.json").read_text())
    for score in summary["execution_accuracy"].values():
        assert f"{100 * score:.1f} %" in words
    assert "10 min 00 s" in words
    assert "4.20 GiB" in words
    assert "Domain perplexity −44.4 %" in words
    assert "General perplexity +2.9 %" in words
    assert "Loss 0.7" in words
    assert "Constant: learning rate 1e−6." in words
    assert "Taken from the cache this time: prepare." in words
    assert "wrong result" in words
    assert "unseen 100 questions" in words
    assert "learning_rate: 2.0e-05" in words
    assert "ab" * 32 in words
    assert "torch 2.13.0" in words
    assert "domain 12.4 7.31 7.35" in words
    assert "burnish run examples/example/recipe.yaml" in words
    assert "Device a processor" in words
    assert "error: no table named flight" in words


def test_it_needs_nothing_but_itself(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "img", "form"} & {tag for tag, _ in page.tags}
    addresses = {"src", "href", "srcset", "action", "data", "xlink:href"}
    assert [attributes for _, attributes in page.tags if addresses & attributes.keys()] == []
    assert "url(" not in html
    assert "@import" not in html
    policy = next(a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy


def test_every_picture_and_table_says_what_it_is(run_folder: Path) -> None:
    page = read(run_folder)
    charts = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(charts) == 11
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in charts)
    bars = [attributes for _, attributes in page.tags if str(attributes.get("class", "")).split()[:1] == ["bar"]]
    assert all(attributes.get("aria-hidden") == "true" for attributes in bars)
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    labelled = {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes}
    assert labelled <= set(identifiers)


def test_what_a_model_writes_stays_text(run_folder: Path) -> None:
    """Every foreign text at once: completion, question, gold, reason, group, stage name, model, run name, metric."""
    plain = read(run_folder)
    for path in (run_folder / "07-evaluate").glob("answers-*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row |= {"prompt": HOSTILE, "gold": HOSTILE, "completion": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}
            row["group"] = f"{row['group']}{HOSTILE}"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = json.loads((run_folder / "summary.json").read_text())
    summary |= {"name": HOSTILE, "model": HOSTILE}
    for stage in summary["stages"]:
        stage |= {"name": HOSTILE, "type": HOSTILE}
    summary["perplexity"][HOSTILE] = {"before": 2.0, "after": 1.0}
    (run_folder / "summary.json").write_text(json.dumps(summary))
    change(run_folder / "04-sft" / "stage.json", configuration={HOSTILE: HOSTILE}, fingerprints={HOSTILE: HOSTILE})
    with (run_folder / "04-sft" / "events.jsonl").open("a") as file:
        file.writelines(json.dumps({"step": step, HOSTILE: step * 1.0}) + "\n" for step in range(3))

    html = write_report(run_folder).read_text(encoding="utf-8")
    page = Page(html)
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in plain.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "{{ 7 * 7 }}" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", html)
    assert "\\x1b[31m" in page.text
    assert "\\u202e" in page.text


def test_long_answers_are_cut_and_say_so(run_folder: Path) -> None:
    path = run_folder / "07-evaluate" / "answers-base.jsonl"
    rows = [json.loads(line) | {"completion": "x" * 100_000} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = write_report(run_folder)
    assert "98,000 more characters" in report.read_text(encoding="utf-8")
    assert report.stat().st_size < 300_000


def test_the_prompt_may_be_a_conversation(run_folder: Path) -> None:
    for path in (run_folder / "07-evaluate").glob("answers-*.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            system = {"role": "system", "content": "a schema nobody wants to read forty times"}
            row["prompt"] = [system, {"role": "user", "content": row["prompt"]}]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = read(run_folder).words
    assert "How many flights left" in words
    assert "a schema" not in words


def test_a_run_without_evaluation_or_training_has_a_report(tmp_path: Path) -> None:
    """Nothing but two figures: what a run does not have is left out."""
    entry = {"name": "export", "type": "export", "folder": "01-export", "seconds": 0.0, "peak_rss_gib": 0.1}
    (tmp_path / "summary.json").write_text(json.dumps({"stages": [entry]}))
    words = read(tmp_path).words
    assert "Time and memory" in words
    assert "Answers" not in words
    assert "Training" not in words


def test_a_single_model_is_shown_without_comparison(run_folder: Path) -> None:
    for label in ("base", "sft"):
        (run_folder / "07-evaluate" / f"answers-{label}.jsonl").unlink()
    change(run_folder / "summary.json", execution_accuracy={"final": 0.7})
    words = read(run_folder).words
    assert "70.0 %" in words
    assert "side by side" not in words
    assert "What each step added" not in words


def test_a_killed_and_resumed_run_draws_each_step_once(run_folder: Path) -> None:
    """After a resume the steps since the last checkpoint come again, and the kill may have cut a line in half."""
    events = run_folder / "04-sft" / "events.jsonl"
    whole = write_report(run_folder).read_text(encoding="utf-8")
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(lines[:50] + lines[30:]) + '{"step": 400, "lo')
    assert write_report(run_folder).read_text(encoding="utf-8") == whole


def test_values_that_are_not_numbers_are_left_out_of_curves(run_folder: Path) -> None:
    events = run_folder / "04-sft" / "events.jsonl"
    with events.open("a") as file:
        file.write('{"step": 400, "loss": NaN, "note": "text", "flag": true}\n{"step": null, "loss": 9}\n')
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert "nan" not in html.lower().replace("nanmean", "")
    assert len(re.findall("<svg", html)) == 11


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("summary.json", None, r"summary\.json: cannot be read"),
        ("summary.json", "{", r"summary\.json: cannot be read"),
        ("summary.json", "[]", r"summary\.json: expected an object, found list"),
        ("summary.json", '{"stages": [{"name": "x"}]}', r"summary\.json: a stage is described wrongly.*folder"),
        ("04-sft/stage.json", "nonsense", r"stage\.json: cannot be read"),
        ("04-sft/events.jsonl", 'nonsense\n{"step": 1}\n', r"events\.jsonl:1: not JSON .*delete this line"),
        ("07-evaluate/answers-sft.jsonl", '{"prompt": "x"}\n', r"answers-sft\.jsonl:1: .*completion"),
        ("07-evaluate/answers-sft.jsonl", "[1]\n", r"answers-sft\.jsonl:1: expected an object, found list"),
        (
            "07-evaluate/answers-sft.jsonl",
            '{"prompt": "x", "completion": "y", "correct": true}\n',
            r"answers-sft\.jsonl: not the questions of answers-base\.jsonl",
        ),
    ],
)
def test_damage_is_named(run_folder: Path, file: str, content: str | None, message: str) -> None:
    path = run_folder / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError, match=message):
        write_report(run_folder)


def test_an_interval_that_the_stage_recorded_is_the_one_shown(run_folder: Path) -> None:
    groups = {"unseen": {"value": 0.6, "interval": [0.1234, 0.8761], "count": 100}}
    change(run_folder / "07-evaluate" / "stage.json", metrics={"scores": {"final": {"groups": groups}}})
    assert "12.3 to 87.6" in read(run_folder).words


def test_each_evaluation_says_how_many_it_asked_and_shows_models_as_they_were_scored(run_folder: Path) -> None:
    rows = (run_folder / "07-evaluate" / "answers-final.jsonl").read_text().splitlines(keepends=True)
    score = sum(json.loads(row)["correct"] for row in rows[:7]) / 7
    labels = ("base+retrieval", "base", "final")  # neither by name nor all of them in the recipe
    folder = shutil.copytree(
        run_folder / "07-evaluate", run_folder / "08-choices", ignore=lambda *_: ["answers-sft.jsonl"]
    )
    for label in labels:
        (folder / f"answers-{label}.jsonl").write_text("".join(rows[:7]))
    change(folder / "stage.json", name="choices", metrics={"scores": {label: {} for label in labels}})
    summary = json.loads((run_folder / "summary.json").read_text())
    entry = summary["stages"][-1] | {"name": "choices", "folder": folder.name}
    change(run_folder / "summary.json", accuracy=dict.fromkeys(labels, score), stages=[*summary["stages"], entry])
    words = read(run_folder).words
    assert f"{len(rows)} test questions" in words
    assert "7 test questions" in words
    assert list(read_run(run_folder).stages[-1].answers) == ["base+retrieval", "base", "final"]


def test_writing_again_changes_nothing(run_folder: Path) -> None:
    """Intervals are seeded and nothing depends on the clock."""
    assert write_report(run_folder).read_bytes() == write_report(run_folder).read_bytes()


@pytest.mark.parametrize(
    ("after", "interval", "said", "coloured"),
    [
        (12.41, [-0.004, 0.006], "no clear difference, +0.1 %", "even"),
        (12.41, None, "too little to tell, +0.1 %", "even"),
        (6.9, [-0.46, -0.42], "better, −44.4 %", "good"),
        (12.5, [0.002, 0.014], "worse, +0.8 %", "bad"),
        (12.3, [-0.02, 0.0], "no clear difference, −0.8 %", "even"),
    ],
)
def test_a_perplexity_is_better_or_worse_only_where_its_interval_excludes_no_change(
    run_folder: Path, after: float, interval: list[float] | None, said: str, coloured: str
) -> None:
    change(
        run_folder / "summary.json",
        perplexity={"domain": {"before": 12.4, "after": after}},
        perplexity_interval={} if interval is None else {"domain": interval},
    )
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert f'<span class="verdict {coloured}">{said}</span>' in html


def test_each_models_perplexity_stands_beside_the_interval_of_its_change(run_folder: Path) -> None:
    change(
        run_folder / "summary.json",
        perplexity={},
        perplexity_by_model_interval={"domain": {"sft": [-0.43, -0.39], "final": [-0.02, 0.01]}},
    )
    html = write_report(run_folder).read_text(encoding="utf-8")
    assert '<span class="verdict good">−43.0 to −39.0 %</span>' in html
    assert '<span class="verdict even">−2.0 to +1.0 %</span>' in html


def test_files_that_were_not_read_are_named(run_folder: Path) -> None:
    skipped = {"domain": {".pdf file": {"count": 9, "files": ["a.pdf", HOSTILE], "advice": "convert it"}}}
    change(run_folder / "02-corpus" / "stage.json", metrics={"skipped": skipped})
    words = read(run_folder).words
    assert "9 files and folders among the documents were not read" in words
    assert ".pdf file 9 a.pdf, <script>" in words


def without_evaluation(run: Path) -> None:
    """Leave of the run what one on documents has: no stage that judges answers."""
    for path in (run / "07-evaluate").glob("answers-*.jsonl"):
        path.unlink()


def write_shown(folder: Path, **values: Any) -> None:
    row = {
        "prompt": "user\nWhat is leave?",
        "expected": "Time off.",
        "before": "I dunno",
        "after": "Time off",
        **values,
    }
    (folder / "shown.jsonl").write_text(json.dumps({"heldout": True, **row}) + "\n", encoding="utf-8")


def test_a_run_says_first_what_it_cannot_do_then_what_was_asked_and_answered(run_folder: Path) -> None:
    change(run_folder / "summary.json", n_parameters=134_515_008)
    change(run_folder / "04-sft" / "stage.json", metrics={"examples": 24})
    without_evaluation(run_folder)
    write_shown(run_folder / "04-sft")
    write_shown(run_folder / "03-cpt", prompt="The handbook says", before=HOSTILE)
    words = read(run_folder).words
    places = [
        words.index(text)
        for text in (
            "What this run cannot do",
            "135 million parameters holds at most some 34 MB",
            "24 conversations to imitate",
            "What was asked and answered, before and after sft",
            "I dunno",
            "How the model continues a text, before and after cpt",
            "Perplexity on held-out text",
            "By optimizer step",
        )
    ]
    assert places == sorted(places)


def test_judged_answers_stand_before_curves_and_shown_ones_are_not_needed(run_folder: Path) -> None:
    write_shown(run_folder / "04-sft")
    words = read(run_folder).words
    assert words.index("Answers, side by side") < words.index("Perplexity on held-out text")
    assert words.index("Answers, side by side") < words.index("What each step added")
    assert "What was asked and answered" not in words


def test_shown_answers_that_are_damaged_are_named(run_folder: Path) -> None:
    (run_folder / "04-sft" / "shown.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(DataError, match=r"shown\.jsonl:1: needs prompt, expected, before, after and heldout"):
        write_report(run_folder)


def test_few_values_are_drawn_as_points_and_many_as_a_line(run_folder: Path) -> None:
    def marks() -> int:
        return sum(attributes.get("class") == "mark" for _, attributes in read(run_folder).tags)

    assert marks() == 0
    with (run_folder / "04-sft" / "events.jsonl").open("a") as file:
        file.writelines(json.dumps({"step": step, "few": step * 1.0}) + "\n" for step in range(5))
    assert marks() == 5


def test_wide_tables_can_be_scrolled_by_keyboard_and_say_so(run_folder: Path) -> None:
    html = write_report(run_folder).read_text(encoding="utf-8")
    regions = [attributes for _, attributes in Page(html).tags if attributes.get("class") == "scroll"]
    assert regions
    assert all(attributes.get("tabindex") == "0" for attributes in regions)
    assert re.search(r"\.scroll \{[^}]*var\(--shade\)[^}]*no-repeat scroll", html)
