"""`burnish export`, `convert` and `merge`: models in other formats and shapes, and several made one."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli.saying import say
from burnish.errors import BurnishError

commands = typer.Typer()


class Quantization(StrEnum):
    """Number formats of a GGUF file, from the largest to the smallest."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q6_K = "Q6_K"
    Q5_K_M = "Q5_K_M"
    Q5_1 = "Q5_1"
    Q5_0 = "Q5_0"
    Q4_K_M = "Q4_K_M"
    Q4_1 = "Q4_1"
    Q4_0 = "Q4_0"
    Q3_K_M = "Q3_K_M"
    Q2_K = "Q2_K"


class DeployChoice(StrEnum):
    """Programs that serve an exported model."""

    ollama = "ollama"
    llama_cpp = "llama.cpp"
    vllm = "vllm"
    docker = "docker"
    systemd = "systemd"


class StoredDtype(StrEnum):
    """Number formats of a Hugging Face folder."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class PoolingChoice(StrEnum):
    """What becomes of the key/value heads of a group."""

    mean = "mean"
    first = "first"
    random = "random"


class MergeChoice(StrEnum):
    """How models are merged."""

    linear = "linear"
    slerp = "slerp"
    task_arithmetic = "task_arithmetic"
    ties = "ties"
    dare_linear = "dare_linear"
    dare_ties = "dare_ties"


@commands.command(
    epilog="Example: burnish export runs/flights --gguf Q8_0 -o exported   or   "
    "burnish export runs/flights --deploy ollama --deploy systemd -o exported"
)
def export(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.", show_default=False)],
    gguf: Annotated[list[Quantization] | None, typer.Option(help="Write a GGUF file; may be repeated.")] = None,
    folder: Annotated[
        bool, typer.Option("--folder", help="Write a Hugging Face folder, also beside GGUF files.")
    ] = False,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the Hugging Face folder.")] = StoredDtype.float32,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write a folder of 8-bit weights by torchao, for transformers and vLLM.")
    ] = False,
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Longest text of the GGUF files in tokens, if shorter than the model's.")
    ] = None,
    deploy: Annotated[
        list[DeployChoice] | None,
        typer.Option(help="Write what this program needs to serve the model; may be repeated.", show_default=False),
    ] = None,
) -> None:
    """Write a model in other formats: a Hugging Face folder (the default), GGUF files for llama.cpp, or both.

    With --deploy also a Modelfile for Ollama, a script that starts llama.cpp's or vLLM's server, a Dockerfile, or a
    systemd unit.
    """
    import burnish
    from burnish.checkpoints.formats import write_formats
    from burnish.console.chat import find_target
    from burnish.deployment.exported import exported_model
    from burnish.deployment.programs import gguf_formats, needs_folder
    from burnish.deployment.writing import write_deployment
    from burnish.runs.names import INT8_FOLDER, MODEL_FOLDER

    found = find_target(model)
    programs = [choice.value for choice in deploy or ()]
    formats = gguf_formats(programs, [quantization.value for quantization in gguf or ()])
    decoder, tokenizer = burnish.load(found.model)
    name = model.resolve().stem
    written = write_formats(
        decoder,
        tokenizer,
        output,
        name=name,
        gguf=formats,
        context_length=context_length,
        dtype=dtype.value,
        model=output / MODEL_FOLDER if folder or not (formats or int8) or needs_folder(programs) else None,
        int8=output / INT8_FOLDER if int8 else None,
    )
    exported = exported_model(
        name,
        output,
        written,
        tokenizer,
        context_length=context_length or decoder.config.max_positions,
        system=found.system,
        temperature=None if found.context is None else 0.0,  # what `burnish chat` and `burnish serve` take
        stop=found.config.stop,
    )
    for path in [*written, *write_deployment(exported, programs, say)]:
        say(path)


@commands.command(epilog="Example: burnish convert models/SmolLM2-135M --kv-heads 1 -o models/SmolLM2-135M-mqa")
def convert(
    model: Annotated[
        Path, typer.Argument(metavar="RUN_OR_MODEL", help="A run's folder, model or adapter, or a .gguf.")
    ],
    kv_heads: Annotated[
        int,
        typer.Option(min=1, help="Key/value heads afterwards, a divisor of the present number.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    pooling: Annotated[
        PoolingChoice, typer.Option(help="A group's heads become their mean, the first of them, or new random ones.")
    ] = PoolingChoice.mean,
    seed: Annotated[int, typer.Option(min=0, help="Where random heads start.")] = 0,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the Hugging Face folder.")] = StoredDtype.float32,
) -> None:
    """Write a model with fewer key/value heads: less memory and time for every token, after some up-training.

    See the page on attention for what it costs and wins; `examples/gqa` up-trains.
    """
    from burnish.console.chat import find_target
    from burnish.methods.convert import convert_model

    config = convert_model(
        find_target(model).model, output, kv_heads=kv_heads, pooling=pooling.value, seed=seed, dtype=dtype.value
    )
    numbers = config.n_layers * config.head_dim * 2
    print(f"key/value heads: {config.n_kv_heads} -> {kv_heads} in each of {config.n_layers} layers")
    print(f"KV cache: {numbers * config.n_kv_heads:,} -> {numbers * kv_heads:,} numbers a token")
    say(output)


@commands.command(
    epilog="Example: burnish merge models/chat --base models/pretrained --onto runs/domain -o models/domain-chat"
)
def merge(
    models: Annotated[
        list[Path], typer.Argument(metavar="RUN_OR_MODEL...", help="Models to merge: a run's folder, or a model.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.", show_default=False)],
    method: Annotated[MergeChoice, typer.Option(help="How they are merged.")] = MergeChoice.task_arithmetic,
    base: Annotated[
        Path | None, typer.Option(help="Model that differences are taken from; slerp's other end.", show_default=False)
    ] = None,
    onto: Annotated[
        Path | None,
        typer.Option(help="Model that the differences are added to, in place of the base.", show_default=False),
    ] = None,
    weight: Annotated[
        list[float] | None, typer.Option(help="Weight of a model, in their order; 1 if left out.", show_default=False)
    ] = None,
    density: Annotated[float, typer.Option(min=0, max=1, help="Share of a difference that ties and dare keep.")] = 1.0,
    t: Annotated[float, typer.Option(min=0, max=1, help="Place between base (0) and model (1), for slerp.")] = 0.5,
    scale: Annotated[float, typer.Option(help="What the sum of differences is multiplied by.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Where dare's randomness starts.")] = 0,
    dtype: Annotated[StoredDtype, typer.Option(help="Numbers of the folder.")] = StoredDtype.float32,
) -> None:
    """Merge models of one architecture by their weights: no training and no data, one tensor at a time in memory.

    With --onto the differences of the models from the base, such as a chat vector, are added to another model.
    """
    from pydantic import ValidationError

    from burnish.console.chat import find_target
    from burnish.console.display import Display
    from burnish.methods.merge import Settings
    from burnish.methods.merge import merge as merge_models

    if weight and len(weight) != len(models):
        raise BurnishError(f"--weight is given {len(weight)} times for {len(models)} models; expected one for each")
    places = [find_target(path).model for path in models]
    try:
        settings = Settings.model_validate(
            {
                "method": method.value,
                "base": None if base is None else find_target(base).model,
                "onto": None if onto is None else find_target(onto).model,
                "models": [
                    {"model": path, "weight": one, "density": density}
                    for path, one in zip(places, weight or [1.0] * len(models), strict=True)
                ],
                "t": t,
                "scale": scale,
                "seed": seed,
                "dtype": dtype.value,
            }
        )
    except ValidationError as error:
        raise BurnishError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    say(merge_models(settings, output, display=Display()))
