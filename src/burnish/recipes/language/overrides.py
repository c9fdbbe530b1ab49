"""Overrides (`--set stage.key=value`): written into the recipe's tree before it is checked.

They are checked by the same rules as the file, and errors in them name the option instead of a line.
"""

from typing import Any

import yaml

from burnish.recipes.language.places import KeyPath, Place, Problem, Source, did_you_mean
from burnish.recipes.language.yaml_source import MAX_DEPTH, Loader, Tree, compose, scalar_text, scalar_value

SECTIONS = ("chat",)
"""Keys of the recipe itself, rather than of a stage, that hold further keys."""


def parse_value(text: str, option: str) -> Any:
    """The value of an override: YAML in brackets, braces or quotes, else one plain scalar.

    Plain text is not handed to the YAML parser, so that `--set chat.system=Answer: briefly` is the text it looks like.
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "{", '"', "'")):
        loader = Loader("")
        try:
            tag = loader.resolve(yaml.ScalarNode, stripped, (True, False))
        finally:
            loader.dispose()
        return scalar_value(yaml.ScalarNode(tag, stripped))
    try:
        node = compose(stripped)
    except (yaml.YAMLError, RecursionError) as error:
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "nested too deeply"
        raise ValueError(f"the value is not valid YAML: {reason}") from None
    assert node is not None
    scratch = Source(file=option, data={})
    value = Tree(scratch).value(node, ())
    if scratch.problems:
        raise ValueError(scratch.problems[0].text)
    return value


def apply_override(source: Source, override: str) -> None:
    """Write one `stage.key=value` into the tree; what it cannot reach becomes a problem that names the option."""
    option = Place(f"--set {override}")
    try:
        target, equals, text = override.partition("=")
        steps = [scalar_text(step.strip()) for step in target.split(".")]
        if not equals or not all(steps):
            raise ValueError("write it as stage.key=value, for example --set sft.training.learning_rate=1e-4")
        if len(steps) > MAX_DEPTH:
            raise ValueError(f"leads through {len(steps)} keys; a recipe is at most {MAX_DEPTH} deep")
        value = parse_value(text, str(option))
        path = _start(source.data, steps)
        _write(source, path, steps[1:] if path else steps, value, option)
    except ValueError as error:
        source.problems.append(Problem(option, (), str(error)))


def _start(data: dict[str, Any], steps: list[str]) -> KeyPath:
    """Where an override starts: in the stage that its first step names, or at the root."""
    first, stages = steps[0], _stage_indices(data)
    if first in stages:
        if len(steps) == 1:
            raise ValueError(f"'{first}' is a stage; name one of its keys, as in {first}.key=value")
        return ("stages", stages[first])
    if len(steps) > 1 and first not in SECTIONS:
        known = [*stages, *SECTIONS]
        hint = did_you_mean(first, known) or "."
        raise ValueError(f"the recipe has no stage named '{first}'{hint} Expected one of: {', '.join(known)}")
    return ()


def _write(source: Source, path: KeyPath, steps: list[str], value: Any, option: Place) -> None:
    """Walk from `path` down the steps, making mappings that are not there yet, and write the value at the last one."""
    container: Any = source.data
    for step in path:
        container = container[step]
    for position, step in enumerate(steps):
        key = _key(container, step, ".".join(steps[:position]))
        path = (*path, key)
        source.keys[path] = source.values[path] = option
        if position == len(steps) - 1:
            container[key] = value
        elif isinstance(container, dict) and container.get(key) is None:
            container[key] = {}
        container = container[key]
    source.forget_below(path)


def _key(container: Any, step: str, above: str) -> str | int:
    """The step as a key of a mapping or an index of a list."""
    if isinstance(container, list):
        if not (step.isdigit() and int(step) < len(container)):
            raise ValueError(f"'{step}' is not an index of a list of {len(container)}")
        return int(step)
    if not isinstance(container, dict):
        raise ValueError(f"'{above}' is {container!r}, which has no keys")
    return step


def _stage_indices(data: dict[str, Any]) -> dict[str, int]:
    """Name (or type, where no name is given) of each stage -> its index."""
    stages = data.get("stages")
    result: dict[str, int] = {}
    for index, stage in enumerate(stages if isinstance(stages, list) else []):
        if isinstance(stage, dict):
            result.setdefault(str(stage.get("name") or stage.get("type")), index)
    return result
