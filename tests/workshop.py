"""A whole recipe in small: a tiny random model, a tiny tokenizer, a tiny database, questions that can be learned."""

import textwrap
from dataclasses import replace
from pathlib import Path

import torch
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

import burnish
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from burnish.text.tokenizer import Tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SAME_BITS = """
seed: 3
model: model
device: cpu
compute_dtype: float32
threads: 1
"""
"""What the recipes of tests say besides their name and stages: a run gives the same bits on every machine."""

# Every question has one of three answers, so that a model of two layers soon gets some right and some wrong.
PREPARE = """
import argparse, json
from pathlib import Path
import duckdb

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
out = parser.parse_args().out
with duckdb.connect(str(out / "numbers.duckdb")) as connection:
    connection.execute("CREATE TABLE numbers AS SELECT range AS n FROM range(3)")
(out / "system.txt").write_text("Answer in SQL.\\n")

def rows(split, count):
    for i in range(count):
        sql = f"SELECT {i % 3}"
        turns = (("system", "Answer in SQL."), ("user", f"{i} mod 3?"), ("assistant", sql))
        messages = [{"role": role, "content": content} for role, content in turns]
        yield {"messages": messages, "sql": sql, "ordered": False, "split": "seen" if i % 2 else "unseen"}

def write(name, values):
    (out / name).write_text("".join(json.dumps(value) + "\\n" for value in values))

write("train.jsonl", rows("train", 48))
write("test.jsonl", rows("test", 9))
for name, word in (("documents", "SELECT"), ("general", "prose")):
    write(f"{name}.jsonl", ({"id": f"{i}", "text": f"{word} {i} " * 12, "source": name} for i in range(16)))
print("prepared")
"""

RECIPE = (
    "name: numbers"
    + SAME_BITS
    + """keep: all
chat:
  system: "@prepare/system.txt"
  max_new_tokens: 8
  judges: &judges [{type: sql, database: "@prepare/numbers.duckdb"}]
stages:
  - type: prepare
    script: prepare.py
  - type: corpus
    documents: ["@prepare/documents.jsonl"]
    general: ["@prepare/general.jsonl"]
    window: 64
    heldout: 0.2
  - type: cpt
    corpus: "@corpus"
    replay: 0.25
    training: &training {learning_rate: 5e-3, batch_size: 4, epochs: 2, micro_batch_tokens: 256, checkpoint_seconds: 0}
  - type: sft
    data: "@prepare/train.jsonl"
    heldout: 0.1
    training: {<<: *training, batch_size: 8, epochs: 10}
  - type: sample
    tasks: "@prepare/train.jsonl"
    judges: *judges
    samples: 6
    max_new_tokens: 16
  - type: dpo
    pairs: "@sample"
    training: {<<: *training, learning_rate: 1e-4}
  - type: evaluate
    tasks: "@prepare/test.jsonl"
    models: {base: base, sft: "@sft", final: "@dpo"}
    judges: *judges
    metric: execution_accuracy
    groups: split
    report: {final_unseen_intents: {model: final, group: unseen}}
    corpus: "@corpus"
    max_new_tokens: 16
  - type: export
    model: "@dpo"
    gguf: [F16, Q8_0]
"""
)


def tiny_tokenizer() -> Tokenizer:
    """Bytes, a few merges, and ChatML's tokens."""
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=[AddedToken(token, special=True) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "SELECT 1\nAnswer in SQL.\n2 mod 3?\nsystem user assistant prose "
    backend.train_from_iterator([text] * 9, trainer)
    return Tokenizer(
        backend=backend,
        source="tiny",
        bos_id=1,
        eos_id=2,
        pad_id=0,
        stop_ids=frozenset({2}),
        chat_template=CHATML,
        context_length=256,
    )


def make_workshop(folder: Path, recipe: str = RECIPE, *, context: int = 256) -> Path:
    """A folder with a recipe and all it needs; returns the recipe's file. context: tokens of the model's."""
    tokenizer = replace(tiny_tokenizer(), context_length=context)
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size,
        d_model=32,
        n_layers=2,
        n_heads=4,
        n_kv_heads=2,
        head_dim=8,
        d_ff=64,
        max_positions=context,
    )
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3, generator=generator)
    folder.mkdir(parents=True, exist_ok=True)
    burnish.save(decoder, tokenizer, folder / "model")
    (folder / "prepare.py").write_text(textwrap.dedent(PREPARE))
    (folder / "recipe.yaml").write_text(recipe)
    return folder / "recipe.yaml"
