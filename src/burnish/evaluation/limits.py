"""What a run cannot do, told from its own numbers beside published ones; short, and before any success is shown."""

from collections.abc import Iterator, Mapping
from typing import Any

BITS_PER_PARAMETER = 2
"""What a model can hold of facts after 1,000 readings of each (Allen-Zhu & Li 2024, arXiv:2404.05405)."""
FEW_READINGS = 100
"""Readings of a fact after which a model holds half of that (the same)."""
FEW_CONVERSATIONS = 1_000
"""What LIMA is tuned on, which are chosen with care and teach a form only (Zhou 2023, arXiv:2305.11206)."""
FEW_PAIRS = 10_000
"""Zephyr is trained on six times as many (Tunstall 2023, arXiv:2310.16944)."""
SMALL_MODEL = 3e9
TOKENS_PER_PARAMETER = 20
"""Of a training whose compute is spent best (Hoffmann 2022, arXiv:2203.15556, table 3)."""


def of_model(n_parameters: int) -> str | None:
    """What a model of so many parameters cannot hold; None for one that is not small."""
    if n_parameters >= SMALL_MODEL:
        return None
    megabytes = n_parameters * BITS_PER_PARAMETER / 8e6
    size = (
        f"{n_parameters / 1e9:.1f} billion" if n_parameters >= 1e9 else f"{max(n_parameters / 1e6, 0.1):,.3g} million"
    )
    return (
        f"A model of {size} parameters holds at most some {megabytes:,.2g} MB of facts (arXiv:2404.05405), taken by "
        "pre-training already: what it says of the world is often made up, however well it is said."
    )


def of_documents(steps: int, tokens: int, passes: float) -> str | None:
    """What `steps` of continued pre-training do not teach, in which a text of `tokens` was read `passes` times."""
    if passes >= FEW_READINGS:
        return None
    often = "once" if passes <= 1 else f"{passes:.3g} times"
    return (
        f"{_count(steps, 'step')} of continued pre-training read {tokens:,} tokens {often}; a fact is kept after 100 "
        "to 1,000 readings in many wordings (arXiv:2404.05405). Expect the domain's words and style, not its facts."
    )


def of_pretraining(n_parameters: int, tokens: int) -> str | None:
    """What a model of so many parameters lacks that has read so few tokens."""
    if tokens >= TOKENS_PER_PARAMETER * n_parameters:
        return None
    return (
        f"{n_parameters:,} parameters read {tokens:,} tokens, {tokens / n_parameters:.2g} for each; a training that "
        "spends its time well reads some 20 (arXiv:2203.15556), and published small models hundreds. Expect the form "
        "of the text, not its sense."
    )


def of_conversations(count: int) -> str | None:
    """What so few conversations do not teach."""
    if count >= FEW_CONVERSATIONS:
        return None
    return (
        f"{_count(count, 'conversation')} to imitate teach a form of answer, no knowledge: even 1,000 chosen ones do "
        "no more (arXiv:2305.11206), and answers that the model cannot know teach it to make up others "
        "(arXiv:2405.05904)."
    )


def of_pairs(count: int) -> str | None:
    """What so few preferences do not teach."""
    if count >= FEW_PAIRS:
        return None
    return (
        f"{_count(count, 'preference')} shift tone and length a little; published models take 60,000 and more "
        "(arXiv:2310.16944). Nothing new is known afterwards."
    )


def of_stage(kind: str, metrics: Mapping[str, Any]) -> str | None:
    """The limit that a finished stage's metrics tell of, for the stages that have one."""
    match kind:
        case "cpt" if "passes" in metrics:
            return of_documents(
                int(metrics["steps"]), int(metrics["domain_tokens"]), float(metrics["passes"]["domain"])
            )
        case "pretrain" if "tokens_read" in metrics:
            return of_pretraining(int(metrics["parameters"]), int(metrics["tokens_read"]))
        case "sft" if "examples" in metrics:
            return of_conversations(int(metrics["examples"]))
        case "dpo" if "pairs" in metrics:
            return of_pairs(int(metrics["pairs"]))
    return None


def of_run(n_parameters: int | None, stages: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    """All limits of a run. stages: type and metrics by name; n_parameters: None in runs that did not record it."""
    found = [of_model(n_parameters)] if n_parameters else []
    found += [of_stage(kind, metrics) for kind, metrics in stages.values()]
    yield from dict.fromkeys(text for text in found if text is not None)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
