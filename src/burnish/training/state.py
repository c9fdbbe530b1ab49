"""The resumable state of a training run: one safetensors file, replaced atomically.

It holds the trainable parameters, AdamW's moments, the persistent buffers (BatchNorm's running statistics), the
number of finished steps, a few facts of the loop, and the SHA-256 of all of it. Nothing else is needed: data order and
dropout are functions of (seed, step).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from burnish.errors import BurnishError
from burnish.kept import DamagedError, KeptTensors, open_tensors, read_facts, write_tensors
from burnish.training.names import BEST_FILE, STATE_FILE

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(
    folder: Path,
    *,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    identity: str,
    facts: Mapping[str, Any],
) -> None:
    """Write the state after `step` finished steps. `identity` names the run: data, settings and model.

    facts: what else the loop goes on with, JSON.
    """
    tensors = trained_tensors(model)
    updates = step
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            # Nothing is there yet where no step has changed the weights: a loss scale that was too large.
            state = optimizer.state.get(parameter) or {"step": torch.tensor(0.0)}
            updates = int(state["step"])
            for moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = state.get(moment, torch.zeros_like(parameter))
    kept = {"step": step, "updates": updates, "identity": identity, "loop": dict(facts)}
    write_tensors(folder / STATE_FILE, tensors, kept)


def load_state(
    folder: Path, *, model: nn.Module, optimizer: torch.optim.Optimizer, identity: str
) -> tuple[int, dict[str, Any]]:
    """Restore a saved state in place and return its number of finished steps and its facts; 0 where there is none.

    A state of another run (the recipe has changed) is ignored. Raises BurnishError for a damaged file, also where a
    single bit of it differs from what was written.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return 0, {}
    try:
        if read_facts(path).get("identity") != identity:
            return 0, {}
        with open_tensors(path) as kept:
            step, updates = int(kept.facts["step"]), float(kept.facts.get("updates", kept.facts["step"]))
            facts = dict(kept.facts.get("loop", {}))
            restore_tensors(model, kept)
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    moments = {moment: kept[f"{moment}.{name}"] for moment in _MOMENTS}
                    # A fused optimizer reads its count on the device of the parameter.
                    device = parameter.device if optimizer.defaults["fused"] else torch.device("cpu")
                    optimizer.state[parameter] = {
                        "step": torch.tensor(updates, device=device),
                        **{moment: value.to(parameter.device) for moment, value in moments.items()},
                    }
    except DamagedError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise BurnishError(
            f"{path}: the saved training state cannot be read ({reason}); delete it to train this stage again"
        ) from error
    return step, facts


def save_best(folder: Path, *, model: nn.Module, step: int, identity: str) -> None:
    """Keep the weights as they are after `step` finished steps, in place of those that were the best before."""
    write_tensors(folder / BEST_FILE, trained_tensors(model), {"step": step, "identity": identity})


def load_best(folder: Path, *, model: nn.Module, step: int, identity: str) -> None:
    """Take over the weights that `save_best` kept after `step` steps. Raises BurnishError where they are gone."""
    path = folder / BEST_FILE
    try:
        with open_tensors(path) as kept:
            if kept.facts != {"step": step, "identity": identity}:
                raise DamagedError("it is of another step or training")
            restore_tensors(model, kept)
    except BurnishError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise BurnishError(
            f"{path}: the best weights, of step {step}, cannot be read ({reason}); train the stage again with --from"
        ) from error


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """What training changes: the trainable parameters and the persistent buffers."""
    parameters = {f"parameter.{name}": p.detach() for name, p in model.named_parameters() if p.requires_grad}
    return parameters | {f"buffer.{name}": buffer for name, buffer in persistent_buffers(model).items()}


@torch.no_grad()
def restore_tensors(model: nn.Module, kept: KeptTensors) -> None:
    """Put what `trained_tensors` gave back in place."""
    for name, tensor in trained_tensors(model).items():
        tensor.copy_(kept[name])


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that belong to the model's state, by name: those that `state_dict` has."""
    state = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name in state}


def discard_state(folder: Path) -> None:
    """Remove the state of a finished run."""
    for name in (STATE_FILE, BEST_FILE):
        (folder / name).unlink(missing_ok=True)
