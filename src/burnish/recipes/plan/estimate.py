"""Time, memory and disk of a run's stages, from a few seconds of the same work on this machine.

Notable choices:
- what a token costs is measured with a few layers of the model's own shape (`burnish.evaluation.rates`);
- on a GPU that is only named, by its published figures instead (`burnish.evaluation.gpus`);
- decoding is priced as if every answer were as long as it may be: an upper bound, as the count of its tokens is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.checkpoints.facts import ModelShape, PairShape, count_parameters
from burnish.errors import BurnishError
from burnish.evaluation.gpus import Gpu, rates_on, scoring_seconds
from burnish.evaluation.rates import Rates, measured
from burnish.hardware import choose_device, device_name, memory_bytes, set_threads
from burnish.recipes.plan.plan import Plan, PlannedStage
from burnish.recipes.plan.shapes import shapes
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.recipe import Recipe
from burnish.runs.environment import GIB

PROGRAM_BYTES = 0.6 * GIB
"""Python, PyTorch and the tokenizer, before any weight."""
FILE_BYTES_PER_SECOND = 0.4 * GIB
"""Reading and writing of a model, with its checksum."""


@dataclass(frozen=True)
class Estimate:
    """What a stage will take. seconds: None where its data is still to be made. memory, disk: bytes."""

    name: str
    work: Work | None
    seconds: float | None
    memory: float | None
    disk: int


def estimate(plan: Plan, works: Sequence[tuple[PlannedStage, Work | None]], gpu: Gpu | None = None) -> list[Estimate]:
    """Estimates of stages whose work is counted, or not known yet; on this machine, or on a GPU by its data sheet.

    Raises:
        BurnishError: a stage's weights, gradients and moments alone are more than the machine has.
    """
    of_stage = shapes(plan)
    sizes = {model: count_parameters(model) for model in of_stage.values()}
    device = choose_device(plan.recipe.device)
    total, where = (memory_bytes(device), device_name(device)) if gpu is None else (gpu.memory * 1e9, gpu.name)
    found = []
    for stage, work in works:
        parameters = sizes[of_stage[stage.name]]
        if work is not None:
            least = parameters * 4 * (1 + 3 * (work.weights if work.trained else 0)) + work.beside * 4
            if least > total:
                raise BurnishError(
                    f"stage {stage.name}: the weights{', gradients and moments' if work.trained else ''} of "
                    f"{parameters:,} parameters are {least / GIB:.1f} GiB, and {where} has "
                    f"{total / GIB:.1f} GiB; train with `lora`, freeze layers, or take a smaller model"
                )
    recipe = plan.recipe
    worked = {(of_stage[stage.name], work.sources) for stage, work in works if work is not None}
    rates = {
        (model, sources): measured(model, recipe.device, recipe.compute_dtype, recipe.threads, sources=sources)
        for model, sources in worked
    }
    for stage, work in works:
        model = of_stage[stage.name]
        parameters = sizes[model]
        steps, kept = (work.steps, work.disk) if work is not None else (0, 0)
        disk = stage.config.disk_bytes(parameters, steps) + kept
        if work is None:
            found.append(Estimate(stage.name, work, None, None, disk))
            continue
        of_token = rates[model, work.sources]
        if gpu is not None:
            of_token = rates_on(gpu, model, of_token, parameters=parameters, rows=work.rows, sources=work.sources)
        seconds = seconds_of(work, of_token, model, parameters) + disk / FILE_BYTES_PER_SECOND
        if work.encoder is not None:
            seconds += work.embedded * _embedding(work.encoder, recipe, gpu)
        found.append(Estimate(stage.name, work, seconds, memory_of(work, of_token, model, parameters), disk))
    return found


def _embedding(encoder: str, recipe: Recipe, gpu: Gpu | None) -> float:
    """Seconds that a token of text costs an encoder: measured here now, or on a GPU by its published figures."""
    from burnish.corpus.embeddings import Encoder

    set_threads(recipe.threads)
    embedder = Encoder(encoder, compute_dtype=recipe.compute_dtype, device=recipe.device).embedder
    return embedder.seconds_a_token() if gpu is None else scoring_seconds(gpu, embedder.parameters)


def seconds_of(work: Work, rates: Rates, model: ModelShape | PairShape, parameters: int) -> float:
    """Computing time of a stage."""
    layers = _layers(model)
    score = rates.score_layer * layers + rates.score_head
    backward = (rates.train_layer - rates.score_layer) * layers * work.layers + rates.train_head - rates.score_head
    decode = rates.decode_layer * layers + rates.decode_head
    update = rates.update * parameters * work.weights * work.networks * work.steps
    return work.trained * work.networks * (score + backward) + work.scored * score + work.decoded * decode + update


def memory_of(work: Work, rates: Rates, model: ModelShape | PairShape, parameters: int) -> float:
    """Peak of a stage in bytes: weights, gradients, moments, what a micro-batch keeps, or keys and values."""
    weights = parameters * 4.0
    training = 0.0
    if work.trained:
        kept = rates.kept_layer * _layers(model) * work.layers + rates.kept_head
        training = (3 * weights * work.weights + kept * work.micro_batch) * work.networks
    decoding = 0.0
    if work.decoded:
        # The weights once more, packed for the machine's products.
        decoding = weights + work.rows * work.longest * _cache_bytes(model)
    return PROGRAM_BYTES + weights * (1 + work.copies) + work.beside * 4.0 + max(training, decoding)


def _layers(model: ModelShape | PairShape) -> int:
    """Of an encoder-decoder those of both networks."""
    return model.n_layers if isinstance(model, ModelShape) else model.encoder.n_layers + model.decoder.n_layers


def _cache_bytes(model: ModelShape | PairShape) -> int:
    """Bytes of the keys and values of a token, or at most of one of a source or a target, in float32."""
    writer = model if isinstance(model, ModelShape) else model.decoder
    heads = writer.n_kv_heads if isinstance(model, ModelShape) else max(writer.n_kv_heads, model.n_cross_kv_heads)
    return writer.n_layers * 2 * heads * writer.head_dim * 4
