"""Whether a corpus will have held-out text to measure on, told before it is made."""

from collections.abc import Mapping

from burnish.recipes.schema.stage import StageConfig


def nothing_held_out(reference: str | None, producers: Mapping[str, StageConfig]) -> str | None:
    """What is wrong where a stage is to measure on a corpus that is told to hold out nothing; None where it is not."""
    name = (reference or "").removeprefix("@").partition("/")[0]
    if reference is None or not reference.startswith("@") or getattr(producers.get(name), "heldout", None) != 0:
        return None
    return f"got '{reference}', which holds out no text to measure on (heldout: 0); set its heldout, for example 0.05"
