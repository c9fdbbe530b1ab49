"""Generation with the shared cache equals the naive loop that runs the whole sequence for every token."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation import cache as cache_module
from burnish.generation import prompts as prompts_module
from burnish.generation import stacks
from burnish.generation.cache import KVCache
from burnish.generation.engine import generate, stream
from burnish.generation.sampling import Sampling, choose, penalize_repetition, truncate
from burnish.nn.attention import reference
from burnish.nn.decoder import Decoder
from tiny_models import TINY, tiny_decoder

prompts_of_any_shape = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=40), min_size=1, max_size=7)


def _naive_logits(decoder: Decoder, sequence: list[int]) -> torch.Tensor:
    forest = Forest(torch.tensor(sequence), (len(sequence),), (-1,))
    with torch.no_grad():
        return decoder.logits(decoder(forest, backend=reference.attention)[-1])


def _naive_greedy(decoder: Decoder, prompt: list[int], sampling: Sampling) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < sampling.max_new_tokens:
        token = int(_naive_logits(decoder, prompt + tokens).argmax())
        if token in sampling.stop:
            break
        tokens.append(token)
    return tokens


@given(prompts_of_any_shape, st.integers(0, 20))
@settings(max_examples=20)
def test_greedy_equals_the_naive_loop(prompts: list[list[int]], seed: int) -> None:
    decoder = tiny_decoder(seed, scale=8)
    # A stop token that some rows meet and others do not: rows leave the batch at different times.
    first = _naive_greedy(decoder, prompts[0], Sampling(temperature=0, max_new_tokens=6))
    sampling = Sampling(temperature=0, max_new_tokens=12, stop=frozenset(first[3:4]))
    for prompt, (completion,) in zip(prompts, generate(decoder, prompts, sampling), strict=True):
        assert completion.tokens == _naive_greedy(decoder, prompt, sampling)
        stopped = len(completion.tokens) < 12
        assert completion.finish_reason == ("stop" if stopped else "length")
    assert list(stream(decoder, prompts[0], sampling)) == _naive_greedy(decoder, prompts[0], sampling)


def _cache_and_sequences(decoder: Decoder, rows: list[list[int]]) -> tuple[KVCache, list[list[int]]]:
    """A cache of the rows, and the rows in its order."""
    forest, ends = Forest.from_sequences(rows)
    order = sorted(range(len(rows)), key=lambda row: ends[row])
    return KVCache(decoder, forest, [ends[row] for row in order]), [list(rows[row]) for row in order]


@given(prompts_of_any_shape, st.integers(1, 4), st.data())
@settings(max_examples=30)
def test_cached_hidden_states_equal_whole_sequences(
    prompts: list[list[int]], samples: int, data: st.DataObject
) -> None:
    decoder = tiny_decoder(scale=8)
    rows = [prompt for prompt in prompts for _ in range(samples)]
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "_BLOCK", 2)
        # Little padding is allowed, so that segments of different length are stacked in some cases only.
        patch.setattr(stacks, "_PADDING_BYTES", 1024)
        cache, sequences = _cache_and_sequences(decoder, rows)
        hidden = cache.last_hidden
        for step in range(5):
            for row, sequence in enumerate(sequences):
                expected = _naive_logits(decoder, sequence)
                torch.testing.assert_close(decoder.logits(hidden[row]), expected, rtol=1e-4, atol=1e-4)
            if step == 2:
                kept = sorted(data.draw(st.sets(st.integers(0, len(sequences) - 1), min_size=1)))
                cache.keep(torch.tensor(kept))
                sequences = [sequences[row] for row in kept]
            tokens = [(step + row) % 50 for row in range(len(sequences))]
            hidden = cache.step(torch.tensor(tokens))
            sequences = [[*sequence, token] for sequence, token in zip(sequences, tokens, strict=True)]


def test_a_shared_prompt_is_stored_once() -> None:
    decoder = tiny_decoder()
    prompt = list(range(40))
    questions = [[*prompt, 41, question] for question in range(4)]
    forest, ends = Forest.from_sequences([question for question in questions for _ in range(8)])
    with torch.no_grad():
        cache = KVCache(decoder, forest, ends)
    config = decoder.config
    assert forest.n_tokens == 41 + 4
    assert cache.n_bytes == 4 * 2 * config.n_layers * config.n_kv_heads * config.head_dim * forest.n_tokens


@pytest.mark.parametrize("n_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_generated_token_takes_the_bytes_of_its_keys_and_values(n_kv_heads: int, dtype: torch.dtype) -> None:
    config = replace(TINY, n_kv_heads=n_kv_heads)
    decoder, n_rows = Decoder(config, compute_dtype=dtype).eval(), 3
    with torch.no_grad():
        cache, _ = _cache_and_sequences(decoder, [[1, 2, 3 + row] for row in range(n_rows)])
        before = cache.n_bytes
        for _ in range(cache_module._BLOCK):
            cache.step(torch.arange(n_rows))
    a_token = 2 * config.n_layers * n_kv_heads * config.head_dim * dtype.itemsize
    assert cache.n_bytes - before == n_rows * cache_module._BLOCK * a_token


def test_growing_moves_no_key_that_is_there() -> None:
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_module, "_BLOCK", 2)
        cache, _ = _cache_and_sequences(tiny_decoder(), [[1, 2, 3], [4, 5]])
        cache.step(torch.tensor([1, 2]))
        places = [tensor.data_ptr() for stack in cache._stacks for layer in stack.layers for tensor in layer]
        for _ in range(9):
            cache.step(torch.tensor([1, 2]))
    later = [tensor.data_ptr() for stack in cache._stacks for layer in stack.layers for tensor in layer]
    assert later[: len(places)] == places
    assert len(later) == len(places) + 2 * 2 * 3, "blocks of 2, 2, 4 and 8 tokens hold the 10"


VARIANTS: dict[str, dict[str, Any]] = {
    "soft-capped scores": {"attention_softcap": 2.0},
    "a window": {"sliding_window": 5},
    "a window in one layer": {"sliding_window": 9, "full_attention_layers": (1,)},
    "scaled scores": {"attention_scale": 0.1},
    "normed queries and keys": {"qk_norm": "head"},
    "learned positions": {"positions": "learned"},
    "GPT-2's layers": {
        "norm": "layer",
        "qkv_bias": True,
        "feed_forward_bias": True,
        "gated": False,
        "activation": "gelu",
    },
    "parallel sublayers": {"parallel": True, "shared_norm": True},
    "capped logits and scaled embeddings": {"logits_softcap": 3.0, "embedding_scale": 2.0},
    "BatchNorm's running statistics": {"norm": "batch"},
    "normalized weights": {"norm": "weight"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_generates_as_the_naive_loop(variant: str) -> None:
    decoder = Decoder(replace(TINY, **VARIANTS[variant])).eval()
    for name, parameter in decoder.named_parameters():
        if "norm" not in name and "gain" not in name:
            parameter.data.mul_(15)
    shared = [(7 * i) % 50 for i in range(20)]
    prompts = [*([*shared, *range(i, 2 * i + 1)] for i in range(6)), [3, 4, 5], [*shared, 0]]
    stop = frozenset(_naive_greedy(decoder, prompts[0], Sampling(temperature=0, max_new_tokens=6))[3:4])
    sampling = Sampling(temperature=0, max_new_tokens=17, stop=stop)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prompts_module, "_LONGEST_BLOCK", 4)
        for prompt, (completion,) in zip(prompts, generate(decoder, prompts, sampling), strict=True):
            assert completion.tokens == _naive_greedy(decoder, prompt, sampling)


def test_a_model_that_cannot_generate_says_why() -> None:
    forest, ends = Forest.from_sequences([[1, 2], [3]])
    with pytest.raises(ValueError, match="bidirectional"):
        KVCache(Decoder(replace(TINY, causal=False)), forest, sorted(ends))
    with pytest.raises(ValueError, match="order of the segments"):
        KVCache(tiny_decoder(), forest, [1, 0])
    learned = Decoder(replace(TINY, positions="learned", max_positions=10))
    with pytest.raises(BurnishError, match="more than the 10 positions"):
        generate(learned, [[1, 2, 3]], Sampling(max_new_tokens=8))
    assert len(generate(learned, [[1, 2, 3]], Sampling(max_new_tokens=7))[0][0].tokens) == 7


def test_the_same_seed_gives_the_same_samples_and_another_others() -> None:
    decoder = tiny_decoder()
    prompts = [[1, 2, 3], [1, 2, 4], [9]]
    sampling = Sampling(max_new_tokens=8)
    one = generate(decoder, prompts, sampling, n=3, seed=5)
    assert one == generate(decoder, prompts, sampling, n=3, seed=5)
    assert one != generate(decoder, prompts, sampling, n=3, seed=6)
    assert len({tuple(completion.tokens) for completion in one[0]}) == 3, "samples of one prompt are independent"


def test_waves_keep_the_order_of_prompts() -> None:
    decoder = tiny_decoder(scale=8)
    prompts = [[i, i + 1] for i in range(7)]
    sampling = Sampling(temperature=0, max_new_tokens=4)
    done = []
    found = generate(decoder, prompts, sampling, n=2, batch_size=3, on_progress=lambda p: done.append(p.finished))
    for prompt, completions in zip(prompts, found, strict=True):
        assert [c.tokens for c in completions] == [_naive_greedy(decoder, prompt, sampling)] * 2
    assert done == sorted(done)


def test_log_probabilities_include_the_stop_token() -> None:
    decoder = tiny_decoder(scale=8)
    prompt = [1, 2, 3]
    stop = 7
    sampling = Sampling(temperature=3, max_new_tokens=40, stop=frozenset([stop]))
    [completions] = generate(decoder, [prompt], sampling, n=20)
    completion = next(c for c in completions if c.finish_reason == "stop" and len(c.tokens) > 1)
    sequence, expected = list(prompt), 0.0
    for token in [*completion.tokens, stop]:
        expected += float(_naive_logits(decoder, sequence).log_softmax(-1)[token])
        sequence.append(token)
    assert completion.logp == pytest.approx(expected, rel=1e-4)


def test_samples_follow_the_distribution() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0, -torch.inf]])
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    drawn = choose(logits.expand(len(uniform), -1), Sampling(temperature=0.7), uniform).tokens
    frequencies = torch.bincount(drawn, minlength=4) / len(uniform)
    expected = (logits[0] / 0.7).softmax(-1)
    torch.testing.assert_close(frequencies, expected, atol=0.015, rtol=0)
    assert frequencies[3] == 0


@given(st.integers(0, 999), st.integers(1, 300), st.sampled_from([0.0, 2**-24, 0.5, 1 - 2**-24]), st.integers(0, 9))
@settings(max_examples=100)
def test_a_draw_falls_on_a_possible_token(start: int, count: int, uniform: float, seed: int) -> None:
    logits = torch.full((1, 1000), -torch.inf)
    possible = slice(start, min(start + count, 1000))
    logits[0, possible] = torch.randn(possible.stop - start, generator=torch.Generator().manual_seed(seed))
    assert start <= int(choose(logits, Sampling(), torch.tensor([uniform])).tokens) < possible.stop


@given(st.integers(0, 99), st.sampled_from([255, 256, 257, 1000]))
@settings(max_examples=40)
def test_a_draw_inverts_the_cumulative_distribution(seed: int, vocab: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, uniform = 2 * torch.randn(5, vocab, generator=generator), torch.rand(5, generator=generator)
    choice = choose(logits, Sampling(), uniform)
    cumulative = logits.double().softmax(-1).cumsum(-1).gather(1, choice.tokens[:, None]).squeeze(1)
    probabilities = logits.double().softmax(-1).gather(1, choice.tokens[:, None]).squeeze(1)
    assert ((cumulative - probabilities - 1e-6 <= uniform) & (uniform <= cumulative + 1e-6)).all()
    torch.testing.assert_close(choice.logps, probabilities.log().float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"temperature": 0.5}, {"top_k": 3}, {"repetition_penalty": 2.0}]
)
def test_log_probabilities_are_those_of_the_model_itself(options: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, history = torch.randn(4, 50, generator=generator), torch.randint(50, (4, 3), generator=generator)
    choice = choose(logits, Sampling(**options), torch.rand(4, generator=generator), history=history)
    expected = logits.log_softmax(-1).gather(1, choice.tokens[:, None]).squeeze(1)
    torch.testing.assert_close(choice.logps, expected, rtol=1e-5, atol=1e-5)
    tempered = penalize_repetition(logits, history, options.get("repetition_penalty", 1.0))
    tempered = (tempered / (options.get("temperature") or 1.0)).log_softmax(-1)
    expected = tempered.gather(1, choice.tokens[:, None]).squeeze(1)
    torch.testing.assert_close(choice.sampling_logps, expected, rtol=1e-5, atol=1e-5)


@given(
    st.integers(0, 50),
    st.sampled_from([0, 1, 5, 20]),
    st.sampled_from([1.0, 0.9, 0.3, 0.001]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
)
@settings(max_examples=40)
def test_truncation_equals_transformers(seed: int, top_k: int, top_p: float, min_p: float) -> None:
    from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = 3 * torch.randn(4, 50, generator=torch.Generator().manual_seed(seed))
    expected = logits
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    if min_p > 0:
        expected = MinPLogitsWarper(min_p)(None, expected)
    assert torch.equal(truncate(logits, top_k=top_k, top_p=top_p, min_p=min_p), expected)


def test_repetition_penalty_equals_transformers() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 50, generator=generator)
    history = torch.randint(50, (3, 8), generator=generator)
    expected = RepetitionPenaltyLogitsProcessor(1.3)(history, logits.clone())
    assert torch.equal(penalize_repetition(logits, history, 1.3), expected)


def test_a_strong_repetition_penalty_forbids_repeats() -> None:
    decoder = tiny_decoder(scale=8)
    sampling = Sampling(temperature=0, repetition_penalty=1e6, max_new_tokens=20)
    for (completion,) in generate(decoder, [[1, 2], [3]], sampling):
        assert len(set(completion.tokens)) == 20


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": 1.5},
        {"repetition_penalty": 0},
        {"max_new_tokens": 0},
    ],
)
def test_wrong_settings_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Sampling(**options)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("vocab_size", [50, 300])
def test_a_model_without_numbers_left_says_so(vocab_size: int, temperature: float) -> None:
    """A training that diverged, or weights that were damaged: an error for a person, from one or from all rows."""
    decoder = tiny_decoder(vocab_size=vocab_size)
    with torch.no_grad():
        decoder.embedding.weight[7] = torch.inf
    sampling = Sampling(temperature=temperature, max_new_tokens=3)
    for prompts in ([[7]], [[5], [7, 6]]):
        with pytest.raises(BurnishError, match="logits are no numbers"):
            generate(decoder, prompts, sampling)
