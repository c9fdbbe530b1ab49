"""`burnish export` and `convert`: models in other formats and shapes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli.saying import say

commands = typer.Typer()


class Quantization(StrEnum):
    """Number formats of a GGUF file, from the largest to the smallest."""

    F32 = "F32"
    F16 = "F16"
    BF16 = "BF16"
    Q8_0 = "Q8_0"
    Q5_1 = "Q5_1"
    Q5_0 = "Q5_0"
    Q4_1 = "Q4_1"
    Q4_0 = "Q4_0"


class StoredDtype(StrEnum):
    """Number formats of a Hugging Face folder."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class PoolingChoice(StrEnum):
    """What becomes of the key/value heads of a group."""

    mean = "mean"
    first = "first"
    random = "random"


@commands.command(epilog="Example: burnish export runs/flights --gguf Q8_0 -o exported")
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
    context_length: Annotated[
        int | None, typer.Option(min=1, help="Longest text of the GGUF files in tokens, if shorter than the model's.")
    ] = None,
) -> None:
    """Write a model in other formats: a Hugging Face folder (the default), GGUF files for llama.cpp, or both."""
    import burnish
    from burnish.checkpoints.formats import write_formats
    from burnish.console.chat import find_target
    from burnish.runs.names import MODEL_FOLDER

    written = write_formats(
        *burnish.load(find_target(model).model),
        output,
        name=model.resolve().stem,
        gguf=[quantization.value for quantization in gguf or ()],
        context_length=context_length,
        dtype=dtype.value,
        model=output / MODEL_FOLDER if folder or not gguf else None,
    )
    for path in written:
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
