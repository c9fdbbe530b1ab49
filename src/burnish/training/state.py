"""The resumable state of a training run: one safetensors file, replaced atomically.

It holds the trainable parameters, AdamW's moments, the persistent buffers (BatchNorm's running statistics) and the
number of finished steps. Nothing else is needed: data order and dropout are functions of (seed, step).
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from burnish.errors import BurnishError
from burnish.files import atomic_file

FILE = "state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, identity: str) -> None:
    """Write the state after `step` finished steps. `identity` names the run: data, settings and model."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            tensors[f"parameter.{name}"] = parameter.detach()
            for moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = optimizer.state[parameter][moment]
    tensors |= {f"buffer.{name}": buffer for name, buffer in persistent_buffers(model).items()}
    with atomic_file(folder / FILE) as path:
        try:
            save_file(tensors, path, metadata={"state": json.dumps({"step": step, "identity": identity})})
        except SafetensorError as error:
            raise BurnishError(f"cannot write {folder / FILE}: {error}") from error


def load_state(folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, identity: str) -> int:
    """Restore a saved state in place and return its number of finished steps; 0 where there is none.

    A state of another run (the recipe has changed) is ignored. Raises BurnishError for a damaged file.
    """
    path = folder / FILE
    if not path.exists():
        return 0
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            if state.get("identity") != identity:
                return 0
            step = int(state["step"])
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        parameter.copy_(file.get_tensor(f"parameter.{name}"))
                        moments = {moment: file.get_tensor(f"{moment}.{name}") for moment in _MOMENTS}
                        optimizer.state[parameter] = {
                            "step": torch.tensor(float(step)),
                            **{moment: value.to(parameter.device) for moment, value in moments.items()},
                        }
                for name, buffer in persistent_buffers(model).items():
                    buffer.copy_(file.get_tensor(f"buffer.{name}"))
    except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
        raise BurnishError(
            f"{path}: the saved training state cannot be read ({error}); delete it to train this stage again"
        ) from error
    return step


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that belong to the model's state, by name: those that `state_dict` has."""
    state = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name in state}


def discard_state(folder: Path) -> None:
    """Remove the state of a finished run."""
    (folder / FILE).unlink(missing_ok=True)
