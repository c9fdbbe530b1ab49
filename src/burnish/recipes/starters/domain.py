"""The starter for one's own documents: every value of its recipe follows from what they, the machine and the model are.

Notable choices:
- time is what bounds a laptop: a few layers of the model's own shape are measured, and each stage that trains gets as
  much data as fits into `MINUTES` of it;
- what the published amounts are, and what to expect below them, stands in the recipe, beside the numbers.
"""

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from burnish.checkpoints.facts import ModelShape, count_parameters, read_config
from burnish.corpus.amounts import few_rows, few_tokens
from burnish.errors import BurnishError
from burnish.evaluation.rates import measured
from burnish.hardware import available_cores, choose_device, device_name, memory_bytes
from burnish.recipes.plan.outside import NotFoundError, found_outside
from burnish.recipes.starters.survey import Survey, survey
from burnish.runs.environment import GIB
from burnish.terminal import printable

HOME = Path(__file__).parent / "domain"
MINUTES = 10.0
"""Of training, for each of the two stages that train."""
LEAST_TOKENS = 100_000
"""Of which each stage that trains reads as many, whatever time it takes: less is no training."""
MAX_EPOCHS = 4
"""More passes over the same text add next to nothing (arXiv:2305.16264)."""
MIN_ROWS, MIN_QUESTIONS = 40, 40
"""Fewer rows give no step worth the name; of fewer questions, a tenth says nothing."""
ROW_TOKENS = 100
FULL_BYTES = 16
"""A parameter with its gradient and two moments, in float32."""
_WINDOW = 512
_INDEX = """\
  # Passages of the documents, found by their words: what training does not teach can be looked up.
  - type: index
    documents: ["@documents"]

"""
_CHAT = """\
# `burnish chat` looks each question up in the documents, and names the passages.
chat:
  retrieval: {index: "@index", passages: 2, passage_tokens: 400}

"""
_RETRIEVAL = """\
    retrieval: {index: "@index", passages: 2, passage_tokens: 400}   # each model also with passages, as LABEL+retrieval
"""


@dataclass(frozen=True)
class MachineCosts:
    """What the model costs here. seconds: of training, for a token."""

    cores: int
    memory: int
    device: str
    parameters: int
    positions: int
    seconds: float

    @property
    def tokens(self) -> float:
        """How many are trained on in `MINUTES`, or `LEAST_TOKENS`: a machine may have been busy when measured."""
        return max(60 * MINUTES / self.seconds, LEAST_TOKENS)

    @property
    def adapters(self) -> bool:
        """Whether all weights are too many to train here."""
        return self.parameters * FULL_BYTES > 0.6 * self.memory


def look(model: str, folder: Path) -> MachineCosts:
    """Measure what training the model costs on this machine. Raises BurnishError where the model cannot be read."""
    try:
        config = read_config(found_outside(model, "model", folder)[0])
    except NotFoundError as error:
        raise BurnishError(f"--model: {error}") from error
    assert isinstance(config, ModelShape)
    device = choose_device("auto")
    rates = measured(config, "auto", "auto", None)
    return MachineCosts(
        cores=available_cores(),
        memory=memory_bytes(device),
        device=device_name(device),
        parameters=count_parameters(config),
        positions=config.max_positions,
        seconds=config.n_layers * rates.train_layer + rates.train_head,
    )


def recipe(docs: Path, model: str, folder: Path, values: dict[str, str]) -> tuple[str, list[str]]:
    """The recipe's text, and what a person should know before running it.

    values: `name`, `file`, `docs` and `model` as the recipe writes them. Raises DataError where nothing can be read.
    """
    found, machine = survey(docs), look(model, folder)
    taught = found.rows >= MIN_ROWS and found.questions >= MIN_QUESTIONS
    told = [line for line in (few_tokens(found.tokens), few_rows(round(found.rows)) if taught else None) if line]
    if not taught:
        told.append(
            f"about {found.rows:,.0f} questions stand in the structure of the documents (headings, definitions, "
            "tables, docstrings, examples), too few to learn from and to measure by, so the recipe only reads them; "
            "write rows of your own for a stage of type sft, or add one of type synthesize with a teacher"
        )
    chosen = values | _head(found, machine, told) | _reading(found, machine) | _teaching(found, machine)
    chosen["chat"] = _CHAT if taught and chosen["index"] else ""
    text = (HOME / "recipe.yaml").read_text(encoding="utf-8")
    if taught:
        text += (HOME / "taught.yaml").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda key: chosen[key[1]], text), told


def _head(found: Survey, machine: MachineCosts, told: list[str]) -> dict[str, str]:
    skipped = found.not_read()
    return {
        "title": "A model that has read your documents, and answers questions about them.",
        "found": _comment(found.found()),
        "not_read": f"# Not read:  {_comment(skipped)}\n" if skipped else "",
        "machine": f"{machine.device}, {machine.cores} cores, {machine.memory / GIB:.0f} GiB",
        "size": f"{machine.parameters:,} parameters; about {1 / machine.seconds:,.0f} tokens/s in training here",
        "expect": "".join(f"#\n{_wrapped(line)}" for line in told) + ("#\n" if told else ""),
    }


def _reading(found: Survey, machine: MachineCosts) -> dict[str, str]:
    window = min(_WINDOW, machine.positions)
    tokens = max(1.0, found.tokens)
    passes = min(float(MAX_EPOCHS), 0.8 * machine.tokens / tokens)
    epochs = f"{max(1, round(passes))}" if passes >= 1 else f"{max(passes, 0.001):.2g}"
    windows = tokens / window
    batch = max(1, min(16, int(windows * min(passes, 1) / 20)))
    near = importlib.util.find_spec("rensa") is not None
    heldout = min(0.05, max(0.002, 50_000 / tokens)) if tokens > 20_000 else 0.1
    code = found.code_share > 0.5
    return {
        "near": "      - {type: minhash, threshold: 0.9}   # near duplicates, such as two versions of one page\n"
        if near
        else "",
        "min_characters": "50" if code else "100",
        "why_min": "source files may be short" if code else "shorter ones say little: redirects, empty pages",
        "processes": str(max(1, min(machine.cores, round(found.characters / 5e6)))),
        "window": str(window),
        "why_window": "the model's context"
        if window < _WINDOW
        else "longer ones cost memory, and sections are seldom longer",
        "heldout": f"{heldout:.2g}",
        "why_heldout": "about 50,000 tokens are enough to measure by"
        if heldout < 0.05
        else "a small corpus needs a larger share",
        "lora": _lora(machine),
        "cpt_rate": f"{_rate(machine):.1e}",
        "why_rate": "adapters take a higher one"
        if machine.adapters
        else "re-warmed; published is 3e-4 for small models",
        "cpt_epochs": epochs,
        "why_cpt_epochs": f"as much as {MINUTES:g} minutes of training read here; up to {MAX_EPOCHS} passes help",
        "cpt_batch": str(batch),
        "why_cpt_batch": "16 where there is text for 20 steps, else fewer",
    }


def _teaching(found: Survey, machine: MachineCosts) -> dict[str, str]:
    fitting = machine.tokens / ROW_TOKENS
    epochs = 2 if fitting >= 2 * min(found.rows, 10_000) else 1
    rows = max(100, min(10_000, int(fitting / epochs) // 100 * 100))
    asked = 200 if machine.seconds < 2e-3 else 100
    return {
        "index": _INDEX if importlib.util.find_spec("bm25s") is not None else "",
        "retrieval": _RETRIEVAL if importlib.util.find_spec("bm25s") is not None else "",
        "max_rows": str(rows),
        "why_max_rows": f"what {MINUTES:g} minutes learn from here, 10,000 at most; about {found.rows:,.0f} are there",
        "n_questions": str(asked // 2),
        "n_choices": str(asked),
        "why_questions": "so that each model is asked in minutes",
        "sft_rate": f"{_rate(machine) / 3:.1e}" if not machine.adapters else f"{_rate(machine):.1e}",
        "sft_epochs": str(epochs),
        "why_sft_epochs": "twice where there is time; more learns by heart",
    }


def _rate(machine: MachineCosts) -> float:
    """The peak rate: what small models are re-warmed to, less for larger ones."""
    if machine.adapters:
        return 2e-4
    return 3e-4 if machine.parameters < 500_000_000 else 1e-4 if machine.parameters < 3_000_000_000 else 3e-5


def _lora(machine: MachineCosts) -> str:
    if not machine.adapters:
        return ""
    needed = machine.parameters * FULL_BYTES / GIB
    return f"    lora: {{rank: 32}}        # all weights with gradients and moments would be {needed:.0f} GiB\n"


def _comment(text: str) -> str:
    return printable(text).replace("\n", " ")


def _wrapped(text: str) -> str:
    import textwrap

    return "".join(f"# {line}\n" for line in textwrap.wrap(_comment(text), 110))
