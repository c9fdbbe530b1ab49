"""The model card: what a model was made from, how, on what data, what it is worth, and what it cannot do.

Its front matter is what the Hugging Face Hub reads: https://huggingface.co/docs/hub/model-cards.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from burnish import __version__
from burnish.checkpoints.origin import Origin
from burnish.evaluation import limits

Record = Mapping[str, Any]
"""The content of a `stage.json`."""

UNKNOWN = "unknown"
"""The Hub's identifier for a licence that nobody stated."""

NEW_LICENCE = (
    "Yours to choose: the model was trained from random weights. The data that it was trained on may set terms of its "
    "own. Write the licence into `license` above before you pass the model on."
)


def model_card(
    recipe: Mapping[str, Any],
    records: Sequence[Record],
    results: Path | None,
    *,
    model: str,
    origin: Origin | None = None,
    system: str | None = None,
    chat: bool = True,
    n_parameters: int | None = None,
) -> str:
    """README.md of a model folder, in the form that Hugging Face expects.

    recipe: the recipe's top-level values. records: the finished stages, in order. results: `results.json` of an
    evaluation. model: the reference by which the recipe names the model, whose stages alone are described. origin: of
    the model that the recipe starts from. system: the system prompt it was trained for. chat: whether it has a chat
    template.
    """
    origin = origin or Origin()
    made_by = _lineage(records, model)
    new = any(record["type"] == "pretrain" for record in made_by)
    if new:
        origin, base = Origin(), "random weights"
    else:
        base = f"`{origin.repository}` (`{recipe['model']}`)" if origin.repository else f"`{recipe['model']}`"
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(origin), sort_keys=False, allow_unicode=True)}---",
        f"# {recipe['name']}",
        f"Made with Burnish {__version__} from {base}, seed {recipe['seed']}.",
        "## Licence",
        NEW_LICENCE if new else _licence(origin),
        "## Use",
        _use(system, chat=chat),
        *(["## System prompt", _indented(system)] if system else []),
        "## Limits",
        "\n".join(f"- {line}" for line in _limits(made_by, results, n_parameters, new=new)),
        "## How it was made",
        *(_stage(record) for record in made_by),
        "## Data",
        "\n".join(_data(made_by)) or "None besides what the stages above wrote.",
    ]
    shown = [*_perplexities(made_by)]
    if results is not None:
        shown += _results(json.loads(results.read_text(encoding="utf-8")))
    return "\n\n".join(parts + (["## Results", *shown] if shown else [])) + "\n"


def _front_matter(origin: Origin) -> dict[str, Any]:
    front: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-generation"}
    front["license"] = origin.licence or UNKNOWN
    if origin.licence_name:
        front["license_name"] = origin.licence_name
    if origin.licence_link:
        front["license_link"] = origin.licence_link
    if origin.repository:
        front |= {"base_model": origin.repository, "base_model_relation": "finetune"}
    if origin.languages:
        front["language"] = list(origin.languages)
    return front | {"tags": ["burnish"]}


def _licence(origin: Origin) -> str:
    if origin.licence is None:
        return (
            "Unknown: the files of the base model do not say. Its licence holds for this model too; look it up where "
            "the base model is published before you pass this one on, and write it into `license` above."
        )
    if origin.presumed:
        repository = " `base_model` above is put together from the base model's file: check it."
    else:
        repository = "" if origin.repository else " Its files do not name its repository: add `base_model` above."
    name = f"{origin.licence_name} ({origin.licence})" if origin.licence_name else origin.licence
    link = f", {origin.licence_link}" if origin.licence_link else ""
    return (
        f"The base model's: {name}{link}.{repository} The data that the model was trained on may set terms of its own."
    )


def _use(system: str | None, *, chat: bool) -> str:
    """Code for transformers, and the command; both work on the folder that this card lies in."""
    load = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'folder = "."  # where this card lies\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
    )
    if chat:
        prompt = '    {"role": "system", "content": SYSTEM},  # the system prompt below\n' if system else ""
        ask = (
            f'messages = [\n{prompt}    {{"role": "user", "content": "..."}},\n]\n'
            "inputs = tokenizer.apply_chat_template(\n"
            '    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"\n)\n'
        )
    else:
        ask = 'inputs = tokenizer("...", return_tensors="pt")\n'
    answer = (
        "output = model.generate(**inputs, max_new_tokens=128, do_sample=False)\n"
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))\n'
    )
    return f"```python\n{load}\n{ask}{answer}```\n\n```sh\nburnish chat . --ask '...'\n```"


def _indented(text: str) -> str:
    """A code block that no fence inside the text can end."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


def _limits(records: Sequence[Record], results: Path | None, n_parameters: int | None, *, new: bool) -> Iterator[str]:
    yield from limits.of_run(n_parameters, {record["name"]: (record["type"], record["metrics"]) for record in records})
    if results is None:
        yield "Nobody measured how often its answers are right."
    beyond = "" if new else " beyond what its base model was"
    yield f"It was not tested for harmful, biased or private content{beyond}."


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
    """Every file from outside the run that a stage read, with its content hash, and those of it that were not read."""
    seen = set()
    for record in records:
        for item in record["inputs"]:
            if item["producer"] is None and item["written"] not in seen:
                seen.add(item["written"])
                yield f"- `{item['written']}` (content {item['key'][:16]})"
        for name, value in record["fingerprints"].items():
            yield f"- `{name}` ({value[:16]})"
        for group, kinds in record["metrics"].get("skipped", {}).items():
            named = ", ".join(f"{of_kind['count']} {kind}" for kind, of_kind in kinds.items())
            yield f"- not read of the {group} text's folders: {named}"


def _perplexities(records: Sequence[Record]) -> Iterator[str]:
    """What pre-training, or continuing it, did to the perplexity of held-out text."""
    for record in records:
        measured = record["metrics"].get("perplexity")
        if record["type"] not in ("cpt", "pretrain") or not measured:
            continue
        intervals = record["metrics"].get("perplexity_interval", {})
        yield _table(
            [f"held-out perplexity, {record['name']}", "before", "after", "change, 95 % interval"],
            [
                [group, f"{one['before']:.2f}", f"{one['after']:.2f}", _change(intervals.get(group))]
                for group, one in measured.items()
            ],
        )


def _change(interval: Sequence[float] | None) -> str:
    return "too little text to tell" if interval is None else f"{interval[0]:+.1%} to {interval[1]:+.1%}"


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
