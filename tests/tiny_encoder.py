"""An encoder small enough for a test, in a folder as transformers has it."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as Backend
from tokenizers import models, normalizers, pre_tokenizers, processors

from burnish.checkpoints.families import read_settings
from burnish.checkpoints.families.bert import BERT, KINDS
from burnish.checkpoints.weights import weights_of
from burnish.nn.decoder import Decoder

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghij", "task", "##s", "queue", "cancel", ",", "."]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 34,
}


def save_tokenizer(folder: Path) -> None:
    backend = Backend(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.add_special_tokens(WORDS[:4])
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As published ones have them: they must cut and pad nothing here.
    backend.enable_truncation(8)
    backend.enable_padding(length=8)
    backend.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep")}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """A BERT of random weights, not transformers' but ours; returns its folder."""
    folder.mkdir(exist_ok=True)
    values = {"model_type": "bert", **SIZES}
    (folder / "config.json").write_text(json.dumps(values))
    decoder = Decoder(read_settings(BERT, folder, values))
    decoder.initialize(seed=seed)
    tensors = {weight.huggingface: weight.from_decoder(20 * tensor) for weight, tensor in weights_of(decoder, BERT)}
    tensors[BERT.prefix + KINDS] = torch.zeros(2, SIZES["hidden_size"])
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    save_tokenizer(folder)
    return folder
