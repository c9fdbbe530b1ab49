"""convert: a model with fewer key and value heads, to be trained on for a while afterwards."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from burnish.errors import RecipeError
from burnish.recipes.plan.work import Work
from burnish.recipes.schema.stage import LatestModel, Metrics, ReferenceKind, StageConfig, StageContext
from burnish.runs.names import MODEL_FOLDER

if TYPE_CHECKING:
    from burnish.checkpoints.facts import ModelShape


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

    def check_model(self, model: "ModelShape") -> None:
        # What an earlier stage has converted has a divisor of the recipe's model's heads, so this holds for it too.
        if model.n_kv_heads % self.kv_heads:
            raise RecipeError(
                f"{self.name or self.type_name()}.kv_heads: got {self.kv_heads}; the model has {model.n_kv_heads} "
                "key/value heads: expected a divisor of that"
            )

    def disk_bytes(self, n_parameters: int, steps: int = 0) -> int:
        return n_parameters * 4

    def work(self, context: StageContext) -> Work:
        return Work()

    def run(self, context: StageContext) -> Metrics:
        from burnish.methods.convert import convert_model

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
