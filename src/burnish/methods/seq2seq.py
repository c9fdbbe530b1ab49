"""Sequence to sequence: an encoder-decoder learns to write the target of each source (Vaswani 2017, arXiv:1706.03762).

Notable choices:
- the loss is the mean over all target tokens of a step, each predicted from the source and the target before it;
- what every target begins with is given and not learned;
- pairs are held out by source, so that no source that is measured was read in training; what the model writes from them
  is compared with their targets, beside the loss.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from burnish.errors import BurnishError, CheckpointError, DataError
from burnish.files import atomic_write_text
from burnish.methods.architecture import Architecture
from burnish.methods.measuring import Metrics
from burnish.methods.settings import Strict, Trains, source
from burnish.methods.training import OnTheWay, check_steps, fit
from burnish.nn.config import EncoderDecoderConfig
from burnish.runs.names import DATA_REPORT_FILE, HELDOUT_REPORT_FILE, MODEL_FOLDER
from burnish.runs.run import Run
from burnish.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from burnish.datasets.batches import Batch
    from burnish.datasets.text_pairs import PairExample, TextPair
    from burnish.nn.encoder_decoder import EncoderDecoder
    from burnish.text.tokenizer import Tokenizer

WRITTEN = 100
"""Held-out pairs, at most, whose targets are written before they are compared."""
WRITTEN_FILE = "written.jsonl"
"""What the model writes from held-out sources, beside their targets."""


class PairSettings(Strict):
    """Which pairs of texts are read, and which are held out."""

    max_source: int = Field(512, ge=1, description="of pairs: longest source, in tokens; longer ones are dropped")
    max_target: int = Field(512, ge=1, description="of pairs: longest target, in tokens; longer ones are dropped")
    heldout: float = Field(0.02, ge=0, lt=0.5, description="of pairs: share of the sources kept for measuring")


class Settings(PairSettings):
    """How an encoder-decoder is trained on pairs of texts."""

    training: TrainingConfig = Field(
        TrainingConfig.model_validate({"learning_rate": 1e-3, "min_lr_fraction": 0.1, "weight_decay": 0.1}),
        description="optimizer, schedule, batch sizes, with the defaults of small models that know nothing yet",
    )


class LearnsPairs(Trains, Protocol):
    """Settings that say how to train, and on which pairs."""

    @property
    def max_source(self) -> int: ...

    @property
    def max_target(self) -> int: ...

    @property
    def heldout(self) -> float: ...


def start_of(tokenizer: "Tokenizer") -> int:
    """What the targets of a new model begin with: the token that begins a text, else, as in BART, the one that ends it.

    Raises CheckpointError where the tokenizer has neither.
    """
    start = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    if start is None:
        raise CheckpointError(f"{tokenizer.source}: names no eos_token, so that no target would ever end")
    return start


def drawn(
    config: EncoderDecoderConfig,
    *,
    seed: int,
    device: "torch.device | None" = None,
    compute_dtype: "torch.dtype | None" = None,
) -> "EncoderDecoder":
    """An encoder-decoder with random weights, a function of the configuration and the seed."""
    import torch

    from burnish.nn.encoder_decoder import EncoderDecoder

    model = EncoderDecoder(config, compute_dtype=compute_dtype or torch.float32).to(device or torch.device("cpu"))
    model.initialize(seed=seed)
    return model


def new(
    architecture: Architecture,
    tokenizer: "Tokenizer",
    settings: LearnsPairs,
    *,
    seed: int,
    device: str = "auto",
    compute_dtype: str = "auto",
) -> "EncoderDecoder":
    """A model with random weights, for the tokenizer's vocabulary and texts as long as the settings allow.

    Raises ValueError where keys of the architecture do not go together.
    """
    from burnish.hardware import choose_compute_dtype, choose_device

    config = architecture.encoder_decoder(tokenizer.vocab_size, window=longest(settings), start_id=start_of(tokenizer))
    where = choose_device(device)
    return drawn(config, seed=seed, device=where, compute_dtype=choose_compute_dtype(compute_dtype, where))


def longest(settings: "LearnsPairs | PairSettings") -> int:
    """The most tokens that a source has, or a target with what it begins with."""
    return max(settings.max_source, settings.max_target + 1)


def train(
    model: "EncoderDecoder", tokenizer: "Tokenizer", pairs: "Sequence[TextPair]", settings: LearnsPairs, run: Run
) -> Metrics:
    """Train the model in place, and leave it in the run's folder; returns what it measured.

    Raises DataError where no pair can be used, BurnishError where texts may be longer than the model's positions.
    """
    import burnish
    from burnish.datasets.batches import Steps, shuffled_steps
    from burnish.datasets.text_pairs import text_pair_examples
    from burnish.methods.reference_logps import weights_digest
    from burnish.objectives.language_model import language_model
    from burnish.runs.hashes import digest

    check_lengths(model.config, settings)
    if not run.key:
        chosen = [settings.training.model_dump(mode="json"), settings.max_source, settings.max_target, settings.heldout]
        run = replace(run, key=digest([weights_digest(model), chosen, list(map(repr, pairs))]))
    encode = partial(text_pair_examples, max_source=settings.max_source, max_target=settings.max_target)
    rows, heldout_rows = hold_out(pairs, settings.heldout, seed=[run.seed, 1])
    learned, report = encode(rows, tokenizer)
    run.report(report)
    heldout: list[PairExample] = []
    if heldout_rows:
        heldout, of_heldout = encode(heldout_rows, tokenizer)
        run.report(of_heldout, HELDOUT_REPORT_FILE)
    if settings.heldout and not heldout_rows:
        n_sources = len({pair.source for pair in pairs})
        run.display.say(f"  heldout {settings.heldout:g} of {n_sources} sources is none: nothing is measured")
    if not learned:
        raise DataError(
            f"{source(pairs)}: none of {len(pairs)} pairs can be used; raise max_source ({settings.max_source}) and "
            f"max_target ({settings.max_target}), or see why they were dropped: {run.folder / DATA_REPORT_FILE}"
        )
    training = settings.training
    check_steps(len(learned), training, source(pairs))
    before = run.remembered("loss-before", lambda: loss(model, heldout, settings))
    plan = shuffled_steps(len(learned), batch_size=training.batch_size, epochs=training.epochs, seed=run.seed)
    steps = Steps(plan, partial(batches, learned, settings, model.config.prefix))

    def measure() -> dict[str, float | None]:
        return {"loss": loss(model, heldout, settings)}

    def save(folder: Path) -> None:
        burnish.save_encoder_decoder(model, tokenizer, folder)

    on_the_way = OnTheWay(measure if heldout else None, save)
    outputs = partial(logps, model)
    trained = fit(model, language_model, steps, settings, run, outputs=outputs, on_the_way=on_the_way)
    save(run.folder / MODEL_FOLDER)
    return {
        "steps": trained.steps,
        **trained.metrics,
        "pairs": len(learned),
        "dropped": len(report.dropped),
        "heldout_loss": {"before": before, "after": loss(model, heldout, settings)},
        "heldout_exact": exact(model, tokenizer, heldout[:WRITTEN], run.folder / WRITTEN_FILE),
    }


def check_lengths(config: EncoderDecoderConfig, settings: LearnsPairs | PairSettings) -> None:
    """Raise BurnishError where texts that `settings` allow are longer than the model's learned positions."""
    for key, side, extra in (("max_source", config.encoder, 0), ("max_target", config.decoder, len(config.prefix))):
        allowed = side.max_positions - extra
        if side.positions == "learned" and getattr(settings, key) > allowed:
            raise BurnishError(
                f"{key}: got {getattr(settings, key)}; the model has learned {side.max_positions} positions: expected "
                f"at most {allowed}"
            )


def hold_out(
    pairs: "Sequence[TextPair]", share: float, *, seed: Sequence[int]
) -> "tuple[list[TextPair], list[TextPair]]":
    """The pairs to train on, in their order, and those of a `share` of the sources, drawn by `seed`."""
    import numpy as np

    sources = sorted({pair.source for pair in pairs})
    order = np.random.default_rng(list(seed)).permutation(len(sources)).tolist()
    chosen = {sources[number] for number in order[: min(round(len(sources) * share), max(len(sources) - 1, 0))]}
    return (
        [pair for pair in pairs if pair.source not in chosen],
        [pair for pair in pairs if pair.source in chosen],
    )


def batches(
    examples: "Sequence[PairExample]", settings: LearnsPairs, prefix: Sequence[int], numbers: Sequence[int]
) -> "list[Batch]":
    """The micro-batches of the pairs with these numbers."""
    from burnish.datasets.text_pairs import text_pair_batches

    chosen = [examples[number] for number in numbers]
    return text_pair_batches(chosen, prefix=prefix, micro_batch_tokens=settings.training.micro_batch_tokens)


def logps(model: "EncoderDecoder", batch: "Batch") -> "Tensor":
    """Log-probabilities of a batch's scored tokens, `[n_scored]`."""
    assert batch.sources is not None
    return model.logps(batch.forest, batch.scored, batch.sources)


def loss(model: "EncoderDecoder", examples: "Sequence[PairExample]", settings: LearnsPairs) -> float | None:
    """Mean loss of a target's token in nats; None without examples."""
    import torch

    total, count = 0.0, 0
    model.eval()
    with torch.inference_mode():
        for batch in batches(examples, settings, model.config.prefix, range(len(examples))) if examples else []:
            batch = batch.to(model.device)
            total -= logps(model, batch)[batch.entries].sum().item()
            count += len(batch.entries)
    return total / count if count else None


def exact(
    model: "EncoderDecoder", tokenizer: "Tokenizer", examples: "Sequence[PairExample]", file: Path
) -> float | None:
    """Share of the sources from which the model writes exactly the target, greedily; None without examples.

    file: gets what it writes, JSONL.
    """
    from burnish.generation.engine import generate_from
    from burnish.generation.sampling import Sampling

    if not examples:
        return None
    # What every target ends with ends what is written.
    ends = frozenset(example.target[-1] for example in examples)
    longest = max(len(example.target) for example in examples)
    sampling = Sampling(temperature=0.0, max_new_tokens=longest, stop=ends)
    written = generate_from(model, [example.source for example in examples], sampling)
    hits = [
        completion.finish_reason == "stop" and completion.tokens == example.target[:-1]
        for (completion,), example in zip(written, examples, strict=True)
    ]
    rows = [
        {
            "source": tokenizer.decode(example.source),
            "target": tokenizer.decode(example.target[:-1]),
            "written": tokenizer.decode(completion.tokens),
            "exact": hit,
        }
        for (completion,), example, hit in zip(written, examples, hits, strict=True)
    ]
    atomic_write_text(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return sum(hits) / len(hits)
