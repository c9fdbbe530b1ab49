"""Writing from sources with cached keys and values equals the naive loop that runs both sides for every token."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BurnishError
from burnish.forest import Forest
from burnish.generation.cache import KVCache
from burnish.generation.engine import generate_from
from burnish.generation.sampling import Sampling
from burnish.generation.sources import SourceCache
from burnish.nn.attention import reference
from burnish.nn.config import EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from tiny_models import TINY, encoder_decoder

sources_of_any_shape = st.lists(st.lists(st.integers(0, 49), min_size=1, max_size=12), min_size=1, max_size=5)


def _naive_logits(model: EncoderDecoder, source: list[int], target: list[int]) -> torch.Tensor:
    forests = [Forest.from_segments([(tokens, -1)]) for tokens in (target, source)]
    with torch.no_grad():
        return model.logits(model(*forests, backend=reference.attention)[-1])


def _naive_greedy(model: EncoderDecoder, source: list[int], sampling: Sampling) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < sampling.max_new_tokens:
        token = int(_naive_logits(model, source, model.config.prefix + tokens).argmax())
        if token in sampling.stop:
            break
        tokens.append(token)
    return tokens


@given(sources_of_any_shape, st.integers(0, 9), st.sampled_from([None, 3]))
@settings(max_examples=8)
def test_greedy_equals_the_naive_loop(sources: list[list[int]], seed: int, forced_id: int | None) -> None:
    model = encoder_decoder(seed, scale=8, forced_id=forced_id)
    # A stop token that some rows meet and others do not: rows leave the batch at different times.
    first = _naive_greedy(model, sources[0], Sampling(temperature=0, max_new_tokens=4))
    sampling = Sampling(temperature=0, max_new_tokens=7, stop=frozenset(first[2:3]))
    for source, (completion,) in zip(sources, generate_from(model, sources, sampling), strict=True):
        assert completion.tokens == _naive_greedy(model, source, sampling)
        assert completion.finish_reason == ("stop" if len(completion.tokens) < 7 else "length")


@pytest.mark.parametrize("heads", [(1, 1), (2, 1), (1, 4), (4, 4)])
@pytest.mark.parametrize(
    "changes",
    [{}, {"positions": "learned", "norm": "layer", "norm_placement": "post", "embedding_norm": True},
     {"attention_softcap": 2.0, "attention_scale": 0.3, "sliding_window": 3}],
)  # fmt: skip
def test_cached_hidden_states_equal_whole_targets(heads: tuple[int, int], changes: dict[str, object]) -> None:
    """MHA, GQA and MQA, in the decoder's own attention and in cross-attention; rows leave on the way."""
    decoder = replace(TINY, n_kv_heads=heads[0], **changes)  # type: ignore[arg-type]
    config = EncoderDecoderConfig.alike(
        decoder, start_id=1, cross_kv_heads=heads[1], encoder={"sliding_window": None, "n_layers": 1}
    )
    model = encoder_decoder(scale=8, config=config)
    sources = [[5, 6], [7, 8, 9, 10, 11, 12], [13, 14]]
    rows = [0, 0, 1, 2, 2]
    prompts, written = Forest.from_segments([([1], -1)] * 3), Forest.from_segments((source, -1) for source in sources)
    targets = [[1] for _ in rows]
    with torch.no_grad():
        cache = KVCache(model.decoder, prompts, rows, sources=SourceCache(model, written, prompts, rows))
        hidden = cache.last_hidden
        for step in range(4):
            for row, target in enumerate(targets):
                expected = _naive_logits(model, sources[rows[row]], target)
                torch.testing.assert_close(model.logits(hidden[row]), expected, rtol=1e-4, atol=1e-4)
            if step == 2:
                kept = [1, 3, 4]
                cache.keep(torch.tensor(kept))
                rows, targets = [rows[row] for row in kept], [targets[row] for row in kept]
            tokens = [20 + step + row for row in range(len(rows))]
            hidden = cache.step(torch.tensor(tokens))
            targets = [[*target, token] for target, token in zip(targets, tokens, strict=True)]


@pytest.mark.parametrize("cross_kv_heads", [1, 2, 4])
def test_a_source_is_stored_once_for_all_its_rows(cross_kv_heads: int) -> None:
    model = encoder_decoder(cross_kv_heads=cross_kv_heads)
    sources, prompts = Forest.from_segments([(list(range(30)), -1)]), Forest.from_segments([([1], -1)])
    with torch.no_grad():
        cache = SourceCache(model, sources, prompts, [0] * 8)
    config = model.config.decoder
    assert cache.n_bytes == 4 * 2 * config.n_layers * cross_kv_heads * config.head_dim * 30


def test_samples_are_a_function_of_the_seed_and_differ_from_each_other() -> None:
    model = encoder_decoder(scale=3)
    sampling = Sampling(temperature=1.0, max_new_tokens=6)
    one, again, other = (generate_from(model, [[5, 6], [7]], sampling, n=3, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert [len(each) for each in one] == [3, 3]
    assert one[0][0].tokens != one[0][1].tokens
    split = generate_from(model, [[5, 6], [7]], replace(sampling, temperature=0), n=3, batch_size=2)
    assert [[completion.tokens for completion in each] for each in split] == [
        [completion.tokens for completion in each]
        for each in generate_from(model, [[5, 6], [7]], replace(sampling, temperature=0), n=3)
    ]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([[1] * 9], "a source of 9 tokens needs more than the 8 positions"),
        ([[], [1]], "a source is empty"),
        ([[1]], "a prompt of 1 tokens and 12 new ones need more than the 8 positions"),
    ],
)
def test_what_has_no_room_is_refused(sources: list[list[int]], message: str) -> None:
    config = EncoderDecoderConfig.alike(replace(TINY, positions="learned", max_positions=8), start_id=1)
    with pytest.raises(BurnishError, match=message):
        generate_from(EncoderDecoder(config), sources, Sampling(max_new_tokens=12))
