"""What a method leaves: the model, with LoRA also the adapter, and the model as it was on the way."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.runs.names import ADAPTER_FOLDER, MODEL_FOLDER
from burnish.runs.run import Run

if TYPE_CHECKING:
    from torch import nn

    from burnish.methods.settings import TrainingSettings
    from burnish.nn.decoder import Decoder
    from burnish.text.tokenizer import Tokenizer


def save(
    decoder: "Decoder", tokenizer: "Tokenizer", settings: "TrainingSettings", run: Run, *, base: Path | None = None
) -> Path:
    """Write `model/`, with LoRA also `adapter/`; the decoder has its adapters merged in afterwards.

    base: where the decoder was loaded from, which the adapter names; where its tokenizer was, if left out.
    """
    from burnish.checkpoints.peft import save_adapter
    from burnish.nn.lora import merge_lora

    if settings.lora is not None:
        source = Path(tokenizer.source)
        base = base or (source.parent if source.name == "tokenizer.json" else source)
        save_adapter(decoder, run.folder / ADAPTER_FOLDER, base=str(base.resolve()))
        merge_lora(decoder)
    return save_model(decoder, tokenizer, run)


def save_model(decoder: "Decoder", tokenizer: "Tokenizer", run: Run) -> Path:
    """Write `model/`, and say where it is a folder that no other program reads."""
    import burnish
    from burnish.checkpoints.families import no_family

    folder = run.folder / MODEL_FOLDER
    if folder.exists():
        shutil.rmtree(folder)
    burnish.save(decoder, tokenizer, folder)
    if (reason := no_family(decoder.config)) is not None:
        run.display.say(f"  {folder} is a folder of Burnish's own, which no other program reads: {reason}", style="dim")
    return folder


def snapshot_of(model: "nn.Module", tokenizer: "Tokenizer") -> Callable[[Path], None]:
    """Writes the model as it is by then into a folder, adapters merged into a copy."""

    def write(folder: Path) -> None:
        import copy

        import burnish
        from burnish.nn.actor_critic import ActorCritic
        from burnish.nn.decoder import Decoder
        from burnish.nn.lora import lora_config, merge_lora
        from burnish.nn.process_reward import ProcessRewardModel
        from burnish.nn.scalar import ScalarModel

        def decoder_of(one: Any) -> Decoder:
            return one if isinstance(one, Decoder) else one.decoder

        kept: Any = model.actor if isinstance(model, ActorCritic) else model
        if lora_config(decoder_of(kept)) is not None:
            kept = copy.deepcopy(kept)
            merge_lora(decoder_of(kept))
        if folder.exists():
            shutil.rmtree(folder)
        writers: dict[type, Callable[..., None]] = {
            ScalarModel: burnish.save_reward_model,
            ProcessRewardModel: burnish.save_process_reward_model,
        }
        writers.get(type(kept), burnish.save)(kept, tokenizer, folder)

    return write
