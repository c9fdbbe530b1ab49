"""The model families whose checkpoints can be read and written, as data.

Settings that would change the mathematics in a way the decoder does not compute are refused by their key, instead
of giving wrong logits.
"""

from burnish.checkpoints.families import configuration
from burnish.checkpoints.families.configuration import read_settings, write_settings
from burnish.checkpoints.families.family import Family, Weight
from burnish.checkpoints.families.gemma import GEMMA2, GEMMA3
from burnish.checkpoints.families.gpt import FALCON, GPT2, GPT_BIGCODE, GPT_NEOX
from burnish.checkpoints.families.llama import LLAMA, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, SMOLLM3
from burnish.checkpoints.families.settings import check_fixed
from burnish.errors import CheckpointError
from burnish.nn.config import DecoderConfig

__all__ = [
    "FAMILIES",
    "Family",
    "Weight",
    "check_fixed",
    "family_for",
    "find_family",
    "no_family",
    "read_settings",
    "write_settings",
]

FAMILIES = (
    LLAMA,
    MISTRAL,
    QWEN2,
    QWEN3,
    SMOLLM3,
    OLMO2,
    PHI3,
    GEMMA2,
    GEMMA3,
    GPT2,
    GPT_NEOX,
    FALCON,
    GPT_BIGCODE,
)
"""In the order in which a model that came from none of them is matched with one to be saved as."""


def find_family(file: object, key: str, value: object) -> Family:
    """The family that `key` of `file` (`model_type` or `general.architecture`) names.

    Raises `CheckpointError` listing the known families when there is none.
    """
    attribute = "gguf_architecture" if key == "general.architecture" else "model_type"
    # Mistral's architecture in GGUF is Llama's: the first wins.
    names = {getattr(family, attribute): family for family in reversed(FAMILIES)}
    if not isinstance(value, str) or value not in names:
        raise CheckpointError(
            f"{file}: {key} is {value!r}; the supported model families are {', '.join(sorted(names))}"
        )
    return names[value]


def family_for(config: DecoderConfig) -> Family:
    """The family that a decoder is saved as: the one it came from where that can express it, else the first that can.

    Raises `CheckpointError` naming the settings that stand in the way.
    """
    return configuration.choose_family(FAMILIES, config)


def no_family(config: DecoderConfig) -> str | None:
    """Why no family can hold a decoder, naming the settings that stand in the way; None where one can."""
    try:
        family_for(config)
    except CheckpointError as error:
        return str(error).removeprefix("cannot save the model: ")
    return None
