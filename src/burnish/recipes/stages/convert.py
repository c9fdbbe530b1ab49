"""convert: a model with fewer key and value heads, to be trained on for a while afterwards."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import BurnishError, RecipeError
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import LatestModel, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.nn.config import DecoderConfig


class ConvertStage(StageConfig):
    """Pools the key and value heads of a model into `kv_heads` (Ainslie 2023, arXiv:2305.13245).

    The product is `model/`, a Hugging Face folder. It needs up-training: a `cpt` stage that follows.
    """

    type: Literal["convert"] = Field("convert", description="convert")
    model: LatestModel = Field(
        None, description="model to convert: base, @STAGE or a path; the latest trained one if left out"
    )
    kv_heads: int = Field(ge=1, description="key/value heads afterwards, a divisor of the present number; 1 is MQA")
    pooling: Literal["mean", "first", "random"] = Field(
        "mean", description="what becomes of a group's heads: their mean, the first of them, or new random ones"
    )

    produces: ClassVar[dict[ReferenceKind, str]] = {"model": MODEL_FOLDER}

    def check_model(self, model: "DecoderConfig") -> None:
        # What an earlier stage has converted has a divisor of the recipe's model's heads, so this holds for it too.
        if model.n_kv_heads % self.kv_heads:
            raise RecipeError(
                f"{self.name or self.type_name()}.kv_heads: got {self.kv_heads}; the model has {model.n_kv_heads} "
                "key/value heads: expected a divisor of that"
            )

    def disk_bytes(self, n_parameters: int) -> int:
        return n_parameters * 4

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        config = convert_model(
            context.path(self.model),
            context.folder / MODEL_FOLDER,
            kv_heads=self.kv_heads,
            pooling=self.pooling,
            seed=context.seed,
            device=context.device,
        )
        heads = {"before": config.n_kv_heads, "after": self.kv_heads}
        context.display.say(
            f"  {heads['before']} -> {heads['after']} key/value heads in each of {config.n_layers} layers"
        )
        numbers = {name: 2 * config.n_layers * count * config.head_dim for name, count in heads.items()}
        return {"kv_heads": heads, "kv_cache_numbers_per_token": numbers}

    def summary(self, metrics: Metrics) -> dict[str, Any]:
        return dict(metrics)


def convert_model(
    source: Path,
    output: Path,
    *,
    kv_heads: int,
    pooling: Literal["mean", "first", "random"],
    seed: int = 0,
    dtype: str = "float32",
    device: str = "cpu",
) -> "DecoderConfig":
    """Write `source` with `kv_heads` key/value heads into `output`, as `burnish.nn.conversion` says.

    Returns the shape of the model before. Raises BurnishError where the number is not possible, or output is source.
    """
    import torch

    import burnish
    from burnish.nn.conversion import with_kv_heads

    if output.resolve() == source.resolve():
        raise BurnishError(
            f"{output}: the converted model would replace the one it is made from; choose another folder"
        )
    decoder, tokenizer = burnish.load(source, compute_dtype="float32", device=device)
    try:
        converted = with_kv_heads(decoder, kv_heads, pooling=pooling, seed=seed)
    except ValueError as error:
        raise BurnishError(f"{source}: {error}") from error
    burnish.save(converted, tokenizer, output, dtype=getattr(torch, dtype))
    return decoder.config
