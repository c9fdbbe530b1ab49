"""The resumable state of a training run: one safetensors file, replaced atomically.

It holds the trainable parameters, AdamW's moments, the persistent buffers (BatchNorm's running statistics), the
number of finished steps, and the SHA-256 of all of it. Nothing else is needed: data order and dropout are functions of
(seed, step).
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from burnish.errors import BurnishError
from burnish.kept import DamagedError, open_tensors, read_facts, write_tensors
from burnish.training.names import STATE_FILE

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
    write_tensors(folder / STATE_FILE, tensors, {"step": step, "identity": identity})


def load_state(folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, identity: str) -> int:
    """Restore a saved state in place and return its number of finished steps; 0 where there is none.

    A state of another run (the recipe has changed) is ignored. Raises BurnishError for a damaged file, also where a
    single bit of it differs from what was written.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0
    try:
        if read_facts(path).get("identity") != identity:
            return 0
        with open_tensors(path) as kept:
            step = int(kept.facts["step"])
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        parameter.copy_(kept[f"parameter.{name}"])
                        moments = {moment: kept[f"{moment}.{name}"] for moment in _MOMENTS}
                        optimizer.state[parameter] = {
                            "step": torch.tensor(float(step)),
                            **{moment: value.to(parameter.device) for moment, value in moments.items()},
                        }
                for name, buffer in persistent_buffers(model).items():
                    buffer.copy_(kept[f"buffer.{name}"])
    except DamagedError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise BurnishError(
            f"{path}: the saved training state cannot be read ({reason}); delete it to train this stage again"
        ) from error
    return step


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that belong to the model's state, by name: those that `state_dict` has."""
    state = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name in state}


def discard_state(folder: Path) -> None:
    """Remove the state of a finished run."""
    (folder / STATE_FILE).unlink(missing_ok=True)
