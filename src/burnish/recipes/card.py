"""The model card: what a model was made from, how, on what data, and what it is worth."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from burnish import __version__

Record = Mapping[str, Any]
"""The content of a `stage.json`."""


def model_card(recipe: Mapping[str, Any], records: Sequence[Record], results: Path | None, *, model: str) -> str:
    """README.md of a model folder, in the form that Hugging Face expects.

    recipe: the recipe's top-level values. records: the finished stages, in order. results: `results.json` of an
    evaluation. model: the reference by which the recipe names the model, whose stages alone are described.
    """
    front = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["burnish"]}
    made_by = _lineage(records, model)
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {recipe['name']}",
        f"Made with Burnish {__version__} from `{recipe['model']}`, seed {recipe['seed']}.",
        "## How it was made",
        *(_stage(record) for record in made_by),
        "## Data",
        "\n".join(_data(made_by)) or "None besides what the stages above wrote.",
    ]
    if results is not None:
        parts += ["## Results", *_results(json.loads(results.read_text(encoding="utf-8")))]
    return "\n\n".join(parts) + "\n"


def _lineage(records: Sequence[Record], model: str) -> list[Record]:
    """The records of the stages that the model builds on, directly or not."""
    wanted = {model.removeprefix("@").partition("/")[0]}
    found = []
    for record in reversed(records):
        if record["name"] in wanted:
            found.append(record)
            wanted |= {item["producer"] for item in record["inputs"]}
    return found[::-1]


def _stage(record: Record) -> str:
    settings = {key: value for key, value in record["configuration"].items() if value not in (None, [], {})}
    configuration = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).rstrip()
    minutes = record["wall_seconds"] / 60
    return f"### {record['name']}\n\n{minutes:.1f} minutes, {record['finished'][:10]}.\n\n```yaml\n{configuration}\n```"


def _data(records: Sequence[Record]) -> Iterator[str]:
    """Every file from outside the run that a stage read, with its content hash."""
    seen = set()
    for record in records:
        for item in record["inputs"]:
            if item["producer"] is None and item["written"] not in seen:
                seen.add(item["written"])
                yield f"- `{item['written']}` (content {item['key'][:16]})"
        for name, value in record["fingerprints"].items():
            yield f"- `{name}` ({value[:16]})"


def _results(results: Mapping[str, Any]) -> Iterator[str]:
    groups = sorted({group for score in results["scores"].values() for group in score["groups"]})
    yield _table(
        ["model", f"all ({results['tasks']} tasks)", *groups],
        [
            [label, _percent(score), *(_percent(score["groups"][group]) for group in groups)]
            for label, score in results["scores"].items()
        ],
    )
    yield "Share of right answers, greedy decoding, with 95 % bootstrap intervals."
    perplexities: Mapping[str, Mapping[str, float]] = results.get("perplexity_by_model", {})
    if perplexities:
        yield _table(
            ["held-out perplexity", *results["scores"]],
            [[group, *(f"{value:.2f}" for value in by_model.values())] for group, by_model in perplexities.items()],
        )


def _percent(score: Mapping[str, Any]) -> str:
    low, high = score["interval"]
    return f"{100 * score['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows))
