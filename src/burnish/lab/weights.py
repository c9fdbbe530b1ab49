"""The weights that a training of the lab has made, kept so that they are not made again."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from burnish.files import atomic_file


def save_trained(model: nn.Module, file: Path, *, identity: str) -> None:
    """Keep the parameters that train."""
    tensors = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    with atomic_file(file) as temporary:
        save_file(tensors, temporary, metadata={"identity": identity})


def load_trained(model: nn.Module, file: Path, *, identity: str) -> bool:
    """Take them over in place; False where there are none of this identity."""
    try:
        with safe_open(file, framework="pt") as opened:
            if (opened.metadata() or {}).get("identity") != identity:
                return False
        model.load_state_dict(load_file(file), strict=False)
    except (SafetensorError, OSError, RuntimeError):
        return False
    return True
