"""The shape of a model that is to be trained from nothing: every key of `DecoderConfig`, with presets and defaults.

A preset is what published families have in common; each key that is written beside it counts before it. Sizes that are
left out follow from others: `n_kv_heads` is `n_heads`, `head_dim` the width a head, `d_ff` four times the width, or 8/3
where gated (Shazeer 2020, arXiv:2002.05202), `max_positions` the longest sequence of the corpus.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from burnish.methods.settings import Strict
from burnish.nn.config import Activation, DecoderConfig, EncoderDecoderConfig, NormKind, Placement, RopeScaling

Preset = Literal["llama", "qwen3", "olmo2", "gpt2", "transformer", "deepnorm"]

_BIASED = {"qkv_bias": True, "attention_bias": True, "feed_forward_bias": True}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "qwen3": {"qk_norm": "head", "rope_theta": 1e6, "norm_eps": 1e-6},
    "olmo2": {"qk_norm": "projection", "norm_placement": "reordered", "rope_theta": 5e5, "norm_eps": 1e-6},
    "gpt2": {"norm": "layer", "positions": "learned", "gated": False, "activation": "gelu_tanh", **_BIASED},
    "transformer": {"norm": "layer", "norm_placement": "post", "gated": False, "activation": "relu", **_BIASED},
    "deepnorm": {"norm": "layer", "norm_placement": "deepnorm", "gated": False, "activation": "gelu", **_BIASED},
}
"""What each preset sets otherwise than the defaults, which are Llama's (Touvron 2023, arXiv:2302.13971).

Qwen3 (arXiv:2505.09388), OLMo 2 (arXiv:2501.00656), GPT-2 (Radford 2019), the first transformer (Vaswani 2017,
arXiv:1706.03762, with rotary positions) and DeepNorm (Wang 2022, arXiv:2203.00555).
"""


class PositionScaling(Strict):
    """Rotary positions stretched beyond the length that a model was first trained on."""

    kind: Literal["linear", "llama3", "yarn"] = Field(description="how the frequencies are stretched")
    factor: float = Field(ge=1, description="how many times longer texts become")
    original_max_positions: int = Field(8192, ge=1, description="the length before")
    low_freq_factor: float = Field(1.0, gt=0, description="llama3: where the blend of frequencies begins")
    high_freq_factor: float = Field(4.0, gt=0, description="llama3: where it ends")
    beta_fast: float = Field(32.0, gt=0, description="yarn: turns from which a frequency stays as it is")
    beta_slow: float = Field(1.0, gt=0, description="yarn: turns up to which it is divided by the factor")
    attention_factor: float | None = Field(None, gt=0, description="yarn: scale of cosines and sines")


class Architecture(Strict):
    """The shape of a new model: a preset, and what is to be otherwise."""

    preset: Preset = Field("llama", description="where the other keys' defaults come from")
    d_model: int = Field(256, ge=1, le=2**16, description="width of the residual stream")
    n_layers: int = Field(6, ge=1, le=1000, description="blocks of attention and feed-forward")
    n_heads: int = Field(8, ge=1, le=2**12, description="heads of the queries")
    n_kv_heads: int | None = Field(
        None, ge=1, description="heads of the keys and values: `n_heads` if left out; 1 is MQA, fewer than n_heads GQA"
    )
    head_dim: int | None = Field(None, ge=1, le=2**12, description="width of a head; d_model / n_heads if left out")
    d_ff: int | None = Field(
        None, ge=1, le=2**20, description="width of the feed-forward layer; 4 d_model if left out, 8/3 where gated"
    )
    max_positions: int | None = Field(
        None, ge=2, le=2**24, description="longest text in tokens; the corpus's window if left out"
    )
    encoder_layers: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="of an encoder-decoder, which learns from `pairs`: blocks of the encoder; `n_layers` if left out",
    )
    cross_kv_heads: int | None = Field(
        None,
        ge=1,
        description="the same: heads of the keys and values that the decoder reads of the source; `n_kv_heads` if "
        "left out; 1 is MQA, `n_heads` MHA",
    )
    tie_embeddings: bool = Field(True, description="whether the output layer is the embedding")
    embedding_scale: float = Field(1.0, gt=0, description="multiplies the embedding")
    embedding_norm: bool = Field(False, description="whether the embeddings are normalized before the first block")
    logits_softcap: float | None = Field(None, gt=0, description="limit of the logits, by tanh")

    qkv_bias: bool = Field(False, description="biases of queries, keys and values")
    attention_bias: bool = Field(False, description="bias of attention's output projection")
    qk_norm: Literal["head", "projection"] | None = Field(
        None, description="norm of queries and keys, of each head alone or of the whole projection"
    )
    attention_scale: float | None = Field(None, gt=0, description="multiplies the scores; head_dim^-1/2 if left out")
    attention_softcap: float | None = Field(None, gt=0, description="limit of the scores, by tanh")
    sliding_window: int | None = Field(None, ge=1, description="how far back a token sees, in tokens")
    full_attention_layers: list[int] = Field([], description="layers, from 0, in which a token sees everything")

    positions: Literal["rotary", "learned"] = Field("rotary", description="how the order of tokens is known")
    rope_theta: float = Field(10_000.0, gt=0, description="base of the rotary frequencies")
    rope_scaling: PositionScaling | None = Field(None, description="stretched rotary positions")
    local_rope_theta: float | None = Field(None, gt=0, description="the base in layers with a sliding window")
    rotary_dim: int | None = Field(None, ge=2, description="dimensions of a head that are rotated; all if left out")
    unrotated_layers: list[int] = Field([], description="layers, from 0, without rotary positions")

    activation: Activation = Field("silu", description="nonlinearity of the feed-forward layer")
    gated: bool = Field(True, description="whether the feed-forward layer has a gate, as SwiGLU")
    feed_forward_bias: bool = Field(False, description="biases of the feed-forward layer")

    norm: NormKind = Field("rms", description="kind of norm; `weight` normalizes the projections' weights")
    norm_placement: Placement = Field("pre", description="where the norms stand around a sublayer")
    norm_eps: float = Field(1e-5, gt=0, description="added to the variance")
    norm_bias: bool = Field(True, description="whether a LayerNorm or BatchNorm has a bias")
    residual: bool = Field(True, description="whether a sublayer's output is added to its input")
    parallel: bool = Field(False, description="attention and feed-forward side by side, of the same input")
    shared_norm: bool = Field(False, description="one norm for both, where they are parallel")

    @model_validator(mode="before")
    @classmethod
    def _fill_preset(cls, values: Any) -> Any:
        """What the preset says, where nothing is written. What is wrong is left for the fields to say."""
        preset = values.get("preset") if isinstance(values, dict) else None
        return {**PRESETS[preset], **values} if isinstance(preset, str) and preset in PRESETS else values

    def config(self, vocab_size: int, *, window: int) -> DecoderConfig:
        """The decoder's configuration, for a vocabulary and the longest sequence of a corpus.

        Raises ValueError, beginning with the key at fault, where settings do not go together.
        """
        keys = {name: getattr(self, name) for name in type(self).model_fields if name not in ("preset", *_CONVERTED)}
        if self.head_dim is None and self.d_model % self.n_heads:
            raise ValueError(f"n_heads ({self.n_heads}) must divide d_model ({self.d_model}), unless head_dim is given")
        for name in ("full_attention_layers", "unrotated_layers"):
            layers = keys[name] = tuple(getattr(self, name))
            if any(not 0 <= layer < self.n_layers for layer in layers):
                raise ValueError(f"{name} ({list(layers)}) must be of the layers 0 to {self.n_layers - 1}")
        wide = math.ceil(self.d_model * 8 / 3 / 32) * 32 if self.gated else 4 * self.d_model
        scaling = self.rope_scaling
        return DecoderConfig(
            **keys,
            vocab_size=vocab_size,
            n_kv_heads=self.n_kv_heads or self.n_heads,
            head_dim=self.head_dim or self.d_model // self.n_heads,
            d_ff=self.d_ff or wide,
            max_positions=self.max_positions or window,
            rope_scaling=None if scaling is None else RopeScaling(**scaling.model_dump()),
        )

    def encoder_decoder(self, vocab_size: int, *, window: int, start_id: int) -> EncoderDecoderConfig:
        """An encoder-decoder of this shape, for a vocabulary and the longest of its sources and targets.

        Both sides are alike but for `encoder_layers`; a sliding window is the decoder's alone. start_id: what every
        target begins with. Raises ValueError as `config`.
        """
        side, layers = self.config(vocab_size, window=window), self.encoder_layers or self.n_layers
        encoder = {
            "n_layers": layers,
            "sliding_window": None,
            "full_attention_layers": (),
            "unrotated_layers": tuple(layer for layer in side.unrotated_layers if layer < layers),
        }
        return EncoderDecoderConfig.alike(side, start_id=start_id, encoder=encoder, cross_kv_heads=self.cross_kv_heads)

    def contradictions(self, *, pairs: bool = False) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong: the key at fault, and why. pairs: of an encoder-decoder."""
        for name in () if pairs else ("encoder_layers", "cross_kv_heads"):
            if (value := getattr(self, name)) is not None:
                yield name, f"got {value}; only an encoder-decoder has it, which learns from `pairs` of texts"
        try:
            if pairs:
                self.encoder_decoder(1, window=2, start_id=0)
            else:
                self.config(1, window=2)
        except ValueError as error:
            keys = sorted(type(self).model_fields, key=len, reverse=True)
            yield next((key for key in keys if str(error).startswith(key)), "rope_scaling"), str(error)


_CONVERTED = (
    *("n_kv_heads", "head_dim", "d_ff", "max_positions", "rope_scaling"),
    *("encoder_layers", "cross_kv_heads"),
)
