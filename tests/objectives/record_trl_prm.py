"""Writes trl_prm.json: the tokens, labels and steps of TRL's own PRMTrainer on a model of `tiny_models`.

TRL has no PRMTrainer after 1.12, so what it computes is recorded instead of computed in the test. To record it again:

    pip install --no-deps --target OLD trl==1.12.0
    PYTHONPATH=OLD:src:tests:tests/objectives python tests/objectives/record_trl_prm.py
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import trl
from transformers import LlamaConfig, LlamaForTokenClassification
from trl.experimental.prm import PRMConfig, PRMTrainer
from trl_trainers import text, words_tokenizer

from burnish.nn.process_reward import ProcessRewardModel
from datasets import Dataset
from in_transformers import in_transformers
from tiny_models import tiny_decoder

FILE = Path(__file__).with_name("trl_prm.json")
ROWS: list[dict[str, Any]] = [
    {"prompt": list(range(20)), "steps": [[30, 31, 32], [33, 34]], "labels": [True, False]},
    {"prompt": list(range(20)), "steps": [[30, 31, 32], [35], [36, 37]], "labels": [True, True, True]},
    {"prompt": [5, 6, 7], "steps": [[40]], "labels": [False]},
    {"prompt": [9, 3, 3, 8], "steps": [[41, 42], [43, 44, 45], [46], [40]], "labels": [True, False, False, False]},
]
SEPARATOR = [47]
SETTINGS = {"learning_rate": 1e-2, "adam_beta1": 0.9, "adam_beta2": 0.95, "max_grad_norm": 1.0, "max_steps": 6}


def record() -> dict[str, Any]:
    decoder = tiny_decoder(0, 5)
    plain = in_transformers(decoder)
    model = LlamaForTokenClassification(LlamaConfig(**plain.config.to_dict() | {"num_labels": 2}))
    model.model.load_state_dict(plain.model.state_dict())
    ours = ProcessRewardModel(decoder, seed=3)
    model.score.weight.data.copy_(ours.score.data)
    model.score.bias.data.zero_()
    rows = [
        {
            "prompt": text(row["prompt"]),
            "completions": [text(step) for step in row["steps"]],
            "labels": row["labels"],
        }
        for row in ROWS
    ]
    with tempfile.TemporaryDirectory() as folder:
        config = PRMConfig(
            folder, **SETTINGS, per_device_train_batch_size=len(rows), lr_scheduler_type="constant", weight_decay=0.0,
            logging_steps=1, step_separator=text(SEPARATOR), max_length=None, report_to=[], save_strategy="no",
            use_cpu=True, dataloader_pin_memory=False, bf16=False, gradient_checkpointing=False,
        )  # fmt: skip
        trainer = PRMTrainer(
            model, config, train_dataset=Dataset.from_list(rows), eval_dataset=Dataset.from_list(rows),
            processing_class=words_tokenizer(),
        )  # fmt: skip
        before = trainer.evaluate()
        trainer.train()
        history = [entry for entry in trainer.state.log_history if "loss" in entry]
        tokenized = list(trainer.train_dataset)
    return {
        "trl": trl.__version__,
        "rows": ROWS,
        "separator": SEPARATOR,
        "settings": SETTINGS,
        "input_ids": [row["input_ids"] for row in tokenized],
        "labels": [row["labels"] for row in tokenized],
        "accuracy_before": before["eval_accuracy"],
        "loss_before": before["eval_loss"],
        "steps": [{name: float(entry[name]) for name in ("loss", "grad_norm")} for entry in history],
        "score_after": model.score.weight.detach().tolist(),
        "bias_after": model.score.bias.detach().tolist(),
    }


if __name__ == "__main__":
    torch.manual_seed(0)
    FILE.write_text(json.dumps(record(), separators=(",", ":")) + "\n", encoding="utf-8")
