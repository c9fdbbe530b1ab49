"""Burnish: from open language-model weights and your own documents to an aligned, domain-specific model.

    import burnish
    decoder, tokenizer = burnish.load("path/to/model")    # a Hugging Face folder, a .gguf file or a PEFT adapter
    burnish.save(decoder, tokenizer, "path/to/folder")    # a folder that transformers and vLLM load
    burnish.generate(decoder, tokenizer, ["How long is a marathon?"])    # answers, as texts
    burnish.run("recipe.yaml")

The names are imported when they are first used, so that `import burnish` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.checkpoints import load as load
    from burnish.checkpoints import load_encoder_decoder as load_encoder_decoder
    from burnish.checkpoints import load_process_reward_model as load_process_reward_model
    from burnish.checkpoints import load_reward_model as load_reward_model
    from burnish.checkpoints import save as save
    from burnish.checkpoints import save_encoder_decoder as save_encoder_decoder
    from burnish.checkpoints import save_process_reward_model as save_process_reward_model
    from burnish.checkpoints import save_reward_model as save_reward_model
    from burnish.console.run import run as run
    from burnish.forest import Forest as Forest
    from burnish.generation.texts import generate as generate
    from burnish.nn.decoder import Decoder as Decoder
    from burnish.nn.process_reward import ProcessRewardModel as ProcessRewardModel
    from burnish.nn.scalar import ScalarModel as ScalarModel

__version__ = "0.1.0"
__all__ = [
    "Decoder",
    "Forest",
    "ProcessRewardModel",
    "ScalarModel",
    "__version__",
    "generate",
    "load",
    "load_encoder_decoder",
    "load_process_reward_model",
    "load_reward_model",
    "run",
    "save",
    "save_encoder_decoder",
    "save_process_reward_model",
    "save_reward_model",
]

_HOMES = {
    "Decoder": "burnish.nn.decoder",
    "Forest": "burnish.forest",
    "ProcessRewardModel": "burnish.nn.process_reward",
    "ScalarModel": "burnish.nn.scalar",
    "generate": "burnish.generation.texts",
    "load": "burnish.checkpoints",
    "load_encoder_decoder": "burnish.checkpoints",
    "load_process_reward_model": "burnish.checkpoints",
    "load_reward_model": "burnish.checkpoints",
    "run": "burnish.console.run",
    "save": "burnish.checkpoints",
    "save_encoder_decoder": "burnish.checkpoints",
    "save_process_reward_model": "burnish.checkpoints",
    "save_reward_model": "burnish.checkpoints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'burnish' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
