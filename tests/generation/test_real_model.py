"""The real small model with its KV cache against transformers with its own."""

from pathlib import Path

import pytest
import torch

import burnish
from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.engine import generate
from burnish.generation.sampling import Sampling
from burnish.text.chat import encode_prompt
from in_transformers import in_transformers

QUESTIONS = ["What is the capital of France?", "Name three colours, in one line.", "一 plus 2 = 三?"]


@pytest.mark.slow
def test_cached_logits_and_greedy_tokens_equal_transformers(smollm2_path: Path) -> None:
    decoder, tokenizer = burnish.load(smollm2_path, compute_dtype=torch.float32, device="cpu")
    model = in_transformers(decoder)
    prompts = [encode_prompt(tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    sampling = Sampling(temperature=0, max_new_tokens=12, stop=tokenizer.stop_ids)
    ours = [completion.tokens for (completion,) in generate(decoder, prompts, sampling)]
    with torch.no_grad():
        for prompt, tokens in zip(prompts, ours, strict=True):
            forest, ends = Forest.from_sequences([prompt])
            cache = KVCache(decoder, forest, ends)
            hidden = cache.last_hidden
            theirs = model(torch.tensor([prompt]), use_cache=True)
            for token in tokens:
                found, expected = decoder.logits(hidden)[0], theirs.logits[0, -1]
                assert (found - expected).norm() <= 1e-4 * expected.norm()
                assert int(expected.argmax()) == token
                hidden = cache.step(torch.tensor([token]))
                theirs = model(torch.tensor([[token]]), past_key_values=theirs.past_key_values, use_cache=True)
