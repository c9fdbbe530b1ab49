"""`burnish init --docs`: a recipe that follows from the documents, and runs to its end as it is written."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import burnish
from burnish.console.display import Display
from burnish.corpus.amounts import few_rows, few_tokens
from burnish.errors import BurnishError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import check, run
from burnish.recipes.starters import StarterAnswers, start
from burnish.recipes.starters.survey import survey
from workshop import tiny_tokenizer

BUDGET = ["cpt.training.epochs=0.1", "sft.training.epochs=0.1", "choices.limit=8", "answers.limit=4"]
SMALL = ["device=cpu", "compute_dtype=float32", "threads=1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    tokenizer = replace(tiny_tokenizer(), context_length=2048)
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, d_model=16, n_layers=1, n_heads=2, n_kv_heads=1, head_dim=8, d_ff=32,
        max_positions=2048,
    )  # fmt: skip
    decoder = Decoder(config)
    decoder.initialize(seed=0)
    folder = tmp_path_factory.mktemp("model") / "model"
    burnish.save(decoder, tokenizer, folder)
    return str(folder)


def wiki(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for page in range(14):
        terms = "\n".join(
            f"- **Part {page}-{n}**: a part of machine {page} that turns {n * 7 + page} times a minute and never stops."
            for n in range(6)
        )
        text = (
            f"# Machine {page}\n\nMachine {page} is a machine that makes things of kind {page}, and it has done so for "
            f"{page + 3} years without a pause.\n\n## How do I start machine {page}?\n\nPress button {page}, and wait "
            f"for {page * 2 + 5} seconds until its lamp is green.\n\n## Parts\n\n{terms}\n"
        )
        (folder / f"machine-{page}.md").write_text(text)
    (folder / "photo.png").write_bytes(b"\x89PNG")
    return folder


def source_tree(folder: Path) -> Path:
    (folder / "package").mkdir(parents=True)
    for number in range(12):
        functions = "\n\n".join(
            f"def part_{number}_{n}(size: int = {n}, *, name='p{number}'):\n"
            f'    """Build part {n} of the module, of a size that is given in units of {number} metres."""\n'
            f"    return size * {n}"
            for n in range(6)
        )
        (folder / "package" / f"module_{number}.py").write_text(
            f'"""Parts of module {number} of all."""\n\n{functions}\n'
        )
    (folder / "lib.c").write_text(
        "/** Adds two numbers of the ledger. */\nint add(int a, int b)\n{ return a + b; }\n" * 3
    )
    return folder


def mixed_pile(folder: Path) -> Path:
    import docx

    folder.mkdir(parents=True)
    for number in range(12):
        plant = "abcdefghijkl"[number] * 3
        rows = "".join(
            f"<h2>Valve {'uvwxyz'[n]} of plant {plant}</h2><p>The worker turns valve {'uvwxyz'[n]} of plant {plant} "
            f"by {n * 15 + number} degrees, and writes down what the meter shows in the end. Nobody else may touch it "
            f"while he does so, and the lamp has to be on.</p>"
            for n in range(6)
        )
        (folder / f"page{number}.html").write_text(f"<html><body><h1>Plant {plant}</h1>{rows}</body></html>")
    for number in range(3):
        document = docx.Document()
        document.add_heading(f"Report {number}", level=1)
        for n in range(5):
            document.add_heading(f"Part {n}", level=2)
            document.add_paragraph(
                f"In part {n} of report {number} there were {n * 11 + 3} losses, and nobody was hurt."
            )
        document.save(str(folder / f"report{number}.docx"))
    (folder / "sheet.pdf").write_bytes(
        pdf("The sheet says that pump 7 takes 42 litres of oil a year, and no more than that.")
    )
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    with zipfile.ZipFile(folder / "old.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    return folder


def pdf(text: str) -> bytes:
    """A page with one line, written by hand."""
    stream = f"BT /F1 12 Tf 20 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + b"xref\n0 5\n0000000000 65535 f \n%strailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(body),
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", [wiki, source_tree, mixed_pile])
def test_a_folder_of_documents_becomes_a_model(make: object, model: str, tmp_path: Path) -> None:
    docs = make(tmp_path / "docs")  # type: ignore[operator]
    started = start(tmp_path / "our model", "documents", StarterAnswers(docs=docs, model=model))
    recipe, runs = started.files[0], tmp_path / "runs"
    assert "{{" not in recipe.read_text()
    assert [stage["type"] for stage in yaml.safe_load(recipe.read_text())["stages"]] == [
        *("documents", "corpus", "cpt", "synthesize", "sft", "index", "evaluate", "evaluate", "export")
    ]
    assert yaml.safe_load(recipe.read_text())["chat"]["retrieval"]["index"] == "@index"
    summary = run(recipe, overrides=[*SMALL, *BUDGET], runs=runs, display=Display(quiet=True))
    assert summary["name"] == "our-model"
    assert (runs / "our-model" / "report.html").exists()
    assert (runs / "our-model" / "05-sft" / "model" / "config.json").exists()


def test_a_recipe_says_what_was_found_and_what_to_expect(model: str, tmp_path: Path) -> None:
    started = start(tmp_path / "x", "documents", StarterAnswers(docs=wiki(tmp_path / "docs"), model=model))
    text = started.files[0].read_text()
    check(make_plan(started.files[0], runs=tmp_path / "runs"))
    assert "14 files (14 .md)" in text
    assert "Not read:  1 .png file" in text
    assert any("published continued pre-training uses hundreds of millions" in line for line in started.told)
    assert "hundreds of millions" in text
    longest = max(map(len, text.replace(str(tmp_path), "").splitlines()))
    assert longest <= 140


def test_documents_without_structure_are_only_read(model: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("some words without an end and without a heading " * 50)
    started = start(tmp_path / "x", "documents", StarterAnswers(docs=docs, model=model))
    assert [stage["type"] for stage in yaml.safe_load(started.files[0].read_text())["stages"]] == [
        *("documents", "corpus", "cpt")
    ]
    assert any("too few to learn from" in line for line in started.told)


def test_nothing_to_read_is_an_error(model: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "photo.png").write_bytes(b"\x89PNG")
    with pytest.raises(BurnishError, match=r"there is no text in it that can be read: 1 \.png file"):
        start(tmp_path / "x", "documents", StarterAnswers(docs=docs, model=model))
    assert not (tmp_path / "x").exists()


def test_many_files_are_sampled(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number}.txt").write_text("Twenty characters. \n" * 5)
    found = survey(tmp_path)
    assert found.read <= 61
    assert found.characters == pytest.approx(300 * 100, rel=0.01)
    assert "estimated from" in found.found()


def test_what_cannot_be_read_is_not_counted_among_the_documents(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"page-{number}.md").write_text("Oil the lathe on Mondays. " * 20)
    (tmp_path / "old.txt").write_bytes(b"caf\xe9")
    found = survey(tmp_path)
    assert found.found().startswith("3 files (3 .md), about ")
    assert "estimated" not in found.found()
    assert found.not_read() == "1 file that is not UTF-8"


def test_published_amounts_are_enough() -> None:
    assert few_tokens(1e9) is None
    assert "1.5 million" in str(few_tokens(1.5e6))
    assert few_rows(5000) is None
    assert "12 rows" in str(few_rows(12))
