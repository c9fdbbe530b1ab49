"""TRL's own trainers on the tiny models of the tests, whose tokens are the words w0, w1, ..."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.datasets.examples import PreferenceExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

EOS, PAD = 48, 49
"""Ids in the vocabulary of `tiny_models.TINY`."""


def words_tokenizer() -> "PreTrainedTokenizerFast":
    """One token a word, the word w7 for token 7."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    names = {**{f"w{i}": i for i in range(EOS)}, "</s>": EOS, "<pad>": PAD}
    words = Tokenizer(WordLevel(names, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="<pad>", unk_token="w0")


def text(tokens: list[int]) -> str:
    return "".join(f" w{token}" for token in tokens)


def pair_rows(pairs: list[PreferenceExample]) -> list[dict[str, str]]:
    """The pairs as TRL reads them."""
    return [{"prompt": text(p.prompt), "chosen": text(p.chosen), "rejected": text(p.rejected)} for p in pairs]


def closed(pairs: list[PreferenceExample]) -> list[PreferenceExample]:
    """The same pairs with the end-of-sequence token, with which TRL closes every answer."""
    return [PreferenceExample(p.prompt, [*p.chosen, EOS], [*p.rejected, EOS]) for p in pairs]


def arguments(folder: Path, batch_size: int) -> dict[str, Any]:
    """What all configurations of TRL's trainers need to compute on the CPU in float32."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": batch_size,
        "report_to": [],
        "use_cpu": True,
        "disable_dropout": True,
        "max_length": 64,
        "dataloader_pin_memory": False,
        "bf16": False,
        "gradient_checkpointing": False,
    }
