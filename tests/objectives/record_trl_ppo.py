"""Writes trl_ppo.json: one rollout, and the updates on it, by TRL's own PPOTrainer on the models of `tiny_models`.

TRL has no PPO after 1.12, so what it computes is recorded instead of computed in the test. To record it again:

    pip install --no-deps --target OLD trl==1.12.0
    PYTHONPATH=OLD:tests python tests/objectives/record_trl_ppo.py
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import trl
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer
from trl.experimental.ppo.ppo_trainer import forward, selective_log_softmax

from burnish.nn.scalar import ScalarModel
from datasets import Dataset
from in_transformers import in_transformers
from tiny_models import tiny_decoder

FILE = Path(__file__).with_name("trl_ppo.json")
EOS, PAD = 48, 49
PROMPTS = [list(range(20)), list(range(1, 19)), [5, 6, 7], [9, 3, 3, 8], [11, 2, 30], [4] * 6]
SETTINGS = {
    "kl_coef": 0.07,
    "kl_estimator": "k3",
    "cliprange": 0.1,
    "cliprange_value": 0.15,
    "vf_coef": 0.3,
    "gamma": 0.9,
    "lam": 0.8,
    "num_ppo_epochs": 3,
    "missing_eos_penalty": 0.5,
    "learning_rate": 3e-3,
}
SEEN = ["query_responses", "logprobs", "ref_logprobs", "values", "scores", "rewards", "advantages", "returns"]


def words() -> PreTrainedTokenizerFast:
    names = {**{f"w{i}": i for i in range(EOS)}, "</s>": EOS, "<pad>": PAD}
    backend = Tokenizer(WordLevel(names, unk_token="w0"))
    backend.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", unk_token="w0", padding_side="left"
    )


def scalar(seed: int) -> LlamaForSequenceClassification:
    decoder = tiny_decoder(seed, 5)
    plain = in_transformers(decoder)
    model = LlamaForSequenceClassification(LlamaConfig(**plain.config.to_dict() | {"num_labels": 1}))
    model.config.pad_token_id = PAD
    model.model.load_state_dict(plain.model.state_dict())
    model.score.weight.data.copy_(ScalarModel(decoder, seed=seed).score.data)
    return model


class Recorder(PPOTrainer):
    """Keeps what the training has computed by the time it logs a rollout."""

    def log(self, metrics: dict[str, float], *_arguments: Any, **_options: Any) -> None:
        local = sys._getframe(1).f_locals
        assert not local["padding_mask"].any(), "a padding token was sampled: choose another seed"
        self.seen = {name: local[name] for name in SEEN}
        self.metrics = {name: value for name, value in metrics.items() if "/" in name}
        self.width = local["context_length"]


def record() -> dict[str, Any]:
    policy, reference = (in_transformers(tiny_decoder(seed, 5)) for seed in (0, 1))
    value, reward = scalar(2), scalar(3)
    trained = [*policy.parameters(), *value.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=SETTINGS["learning_rate"], betas=(0.9, 0.95), weight_decay=0)
    with tempfile.TemporaryDirectory() as folder:
        config = PPOConfig(
            folder, **SETTINGS, per_device_train_batch_size=len(PROMPTS), total_episodes=len(PROMPTS),
            gradient_accumulation_steps=1, response_length=7, temperature=1.0, num_sample_generations=0, bf16=False,
            use_cpu=True, gradient_checkpointing=False, save_strategy="no", report_to=[], seed=12,
        )  # fmt: skip
        trainer = Recorder(
            config, words(), policy, reference, reward, Dataset.from_list([{"input_ids": p} for p in PROMPTS]), value,
            optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)),
        )  # fmt: skip
        trainer.train()
    sequences = trainer.seen["query_responses"]
    with torch.no_grad():
        logits = forward(policy, sequences, PAD).logits[:, trainer.width - 1 : -1]
        after = selective_log_softmax(logits, sequences[:, trainer.width :])
    rows = [[token for token in row if token != PAD] for row in sequences.tolist()]
    return {
        "trl": trl.__version__,
        "settings": SETTINGS,
        "prompts": [row[:-7] for row in rows],
        "answers": [row[-7:] for row in rows],
        **{name: trainer.seen[name].tolist() for name in SEEN[1:]},
        "logprobs_after": after.tolist(),
        "metrics": trainer.metrics,
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(record(), separators=(",", ":")) + "\n", encoding="utf-8")
