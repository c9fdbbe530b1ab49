"""The shape of a network: one dataclass serves every model family and every variant that the lab compares.

An encoder-decoder is two of them: the encoder is the same network where nothing is causal, the decoder one that also
attends to what the encoder made of the source.

Nothing here names a family. What a checkpoint of a family calls these settings is data in `burnish.checkpoints`.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

NormKind = Literal["rms", "layer", "batch", "weight", "none"]
Placement = Literal["pre", "post", "sandwich", "deepnorm", "reordered"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]

STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How a configuration is read from a file: nothing converted, nothing ignored."""


@dataclass(frozen=True, kw_only=True)
class AttentionRule:
    """Which keys a query sees and what becomes of its scores; the rest of the contract of `burnish.nn.attention`.

    scale: multiplies the scores, `1 / sqrt(head_dim)` where None.
    causal: a token sees the earlier tokens of its own segment; otherwise all of them.
    window: a token sees only keys fewer than so many positions before it (Beltagy 2020, arXiv:2004.05150), itself one.
    softcap: scores become `softcap · tanh(score / softcap)` (Gemma 2, arXiv:2408.00118, section 2).
    dropout: so large a share of the weights that scores become is set to zero, drawn from PyTorch's generator.
    """

    scale: float | None = None
    causal: bool = True
    window: int | None = None
    softcap: float | None = None
    dropout: float = 0.0


@dataclass(frozen=True)
class Dropout:
    """Shares that are set to zero in training, the rest scaled up (Srivastava 2014); no part of a model.

    attention: of the weights of attention. residual: of what each sublayer adds. embedding: of the first activations.
    """

    attention: float = 0.0
    residual: float = 0.0
    embedding: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Rotary positions stretched beyond the length that a model was first trained on.

    `linear` divides all frequencies by `factor` (Chen 2023, arXiv:2306.15595). `llama3` divides the low ones, keeps the
    high ones and blends between (Llama 3, arXiv:2407.21783; the formula is in its published code). `yarn` blends by the
    number of turns within the original context, and scales cosines and sines by `attention_factor` (Peng 2023,
    arXiv:2309.00071, sections 3.2 and 3.4).
    """

    __pydantic_config__: ClassVar = STRICT

    kind: Literal["linear", "llama3", "yarn"]
    factor: float
    original_max_positions: int = 8192
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"the factor of scaled rotary positions must be at least 1, got {self.factor}")
        if self.kind == "llama3" and not self.low_freq_factor < self.high_freq_factor:
            raise ValueError(
                f"high_freq_factor ({self.high_freq_factor}) must be above low_freq_factor ({self.low_freq_factor})"
            )


class DeepNorm(NamedTuple):
    """DeepNorm's constants: α scales the residual, β the initial v, o and feed-forward (Wang 2022, figure 2)."""

    alpha: float = 1.0
    beta: float = 1.0


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Sizes, layout and constants of a decoder-only transformer.

    Attention: `n_kv_heads == n_heads` is multi-head attention, 1 is multi-query attention and anything between is
    grouped-query attention (Ainslie 2023, arXiv:2305.13245, section 2.2). `qk_norm` normalizes queries and keys, each
    `head` alone or the whole `projection`. `sliding_window` holds for all layers but those of `full_attention_layers`.

    Positions: `rotary`, on the first `rotary_dim` dimensions of a head (all where None) and in all layers but those of
    `unrotated_layers`; or `learned`, added to the embedding. `local_rope_theta` is the base of the layers with a
    window, where it differs; they are not scaled.

    Norms: `norm` is the kind, `norm_placement` where it stands around a sublayer f:

        pre        x + f(norm(x))                   Xiong 2020, arXiv:2002.04745
        post       norm(x + f(x))                   Vaswani 2017, arXiv:1706.03762
        sandwich   x + norm(f(norm(x)))             Ding 2021, arXiv:2105.13290
        deepnorm   norm(α x + f(x)), α = (2 N)^1/4  Wang 2022, arXiv:2203.00555
        reordered  x + norm(f(x))                   Liu 2021, arXiv:2111.09883; OLMo 2, arXiv:2501.00656

    `norm="weight"` normalizes no activations; the projections of the blocks are reparameterized instead (Salimans 2016,
    arXiv:1602.07868). `residual=False` leaves out the `x +`. `parallel` adds attention and feed-forward of the same x,
    with one norm for both where `shared_norm` (Wang and Komatsuzaki 2021, GPT-J).

    `model_type` is the family of the checkpoint that the model came from, and the format it is saved in where that
    can express it.
    """

    __pydantic_config__: ClassVar = STRICT

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    max_positions: int = 2048
    tie_embeddings: bool = True
    embedding_scale: float = 1.0
    embedding_norm: bool = False
    """Whether the embeddings, positions included, are normalized before the first block (BART)."""
    logits_softcap: float | None = None
    logits_bias: bool = False
    """Whether a constant is added to the logits, which no training changes (BART's `final_logits_bias`)."""

    causal: bool = True
    qkv_bias: bool = False
    attention_bias: bool = False
    """Bias of the output projection."""
    qk_norm: Literal["head", "projection"] | None = None
    attention_scale: float | None = None
    attention_softcap: float | None = None
    sliding_window: int | None = None
    full_attention_layers: tuple[int, ...] = ()

    positions: Literal["rotary", "learned"] = "rotary"
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    local_rope_theta: float | None = None
    rotary_dim: int | None = None
    unrotated_layers: tuple[int, ...] = ()

    activation: Activation = "silu"
    gated: bool = True
    feed_forward_bias: bool = False

    norm: NormKind = "rms"
    norm_placement: Placement = "pre"
    norm_eps: float = 1e-5
    norm_bias: bool = True
    """Whether a LayerNorm or BatchNorm has a bias; RMSNorm has none."""
    residual: bool = True
    parallel: bool = False
    shared_norm: bool = False

    model_type: str | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "n_kv_heads", "head_dim", "d_ff"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"n_heads ({self.n_heads}) must be a multiple of n_kv_heads ({self.n_kv_heads})")
        for name, size in (("head_dim", self.head_dim), ("rotary_dim", self.rotary_dim or 2)):
            if self.positions == "rotary" and size % 2:
                raise ValueError(f"{name} must be even for rotary positions, got {size}")
        if self.rotary_dim is not None and not 0 < self.rotary_dim <= self.head_dim:
            raise ValueError(f"rotary_dim must be in 1 to head_dim ({self.head_dim}), got {self.rotary_dim}")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ValueError(f"sliding_window must be at least 1, got {self.sliding_window}")
        if self.parallel and self.norm_placement != "pre":
            raise ValueError(f"parallel sublayers need norm_placement 'pre', got {self.norm_placement!r}")
        if self.shared_norm and not self.parallel:
            raise ValueError("shared_norm needs parallel sublayers")
        if self.norm == "weight" and self.norm_placement not in ("pre", "deepnorm"):
            raise ValueError(
                f"norm 'weight' normalizes no activations, so norm_placement must be 'pre' or 'deepnorm' (for its "
                f"scaling alone), got {self.norm_placement!r}"
            )

    def window(self, layer: int) -> int | None:
        """The sliding window of a layer, None where it sees everything."""
        return None if layer in self.full_attention_layers else self.sliding_window

    def attention_rule(self, layer: int) -> AttentionRule:
        """What a query of this layer sees and how it is scored."""
        return AttentionRule(
            scale=self.attention_scale,
            causal=self.causal,
            window=self.window(layer),
            softcap=self.attention_softcap,
        )

    @property
    def deepnorm(self) -> DeepNorm:
        """(2 N)^1/4 and (8 N)^-1/4 for a decoder of N layers; 1 and 1 for all other placements."""
        if self.norm_placement != "deepnorm":
            return DeepNorm()
        return DeepNorm((2 * self.n_layers) ** 0.25, (8 * self.n_layers) ** -0.25)


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Two networks that share their vocabulary: one reads a source, one writes a target and attends to the source.

    encoder: bidirectional, `causal=False`; decoder: causal. Cross-attention has the decoder's heads, and
    `cross_kv_heads` key and value heads, as many as the decoder's own attention where None; it is not rotated and sees
    the whole source.

    start_id: the token that every target begins with; it is read and never written. forced_id: a token that always
    comes next, where there is one (BART's `forced_bos_token_id`).
    share_embedding: source and target have one embedding.
    """

    __pydantic_config__: ClassVar = STRICT

    encoder: DecoderConfig
    decoder: DecoderConfig
    start_id: int
    forced_id: int | None = None
    cross_kv_heads: int | None = None
    share_embedding: bool = True

    def __post_init__(self) -> None:
        if self.encoder.causal or not self.decoder.causal:
            raise ValueError(
                f"an encoder is not causal and a decoder is, got {self.encoder.causal} and {self.decoder.causal}"
            )
        if not self.encoder.tie_embeddings or self.encoder.logits_bias:
            raise ValueError("an encoder has no output layer: its tie_embeddings is true and its logits_bias false")
        if self.encoder.d_model != self.decoder.d_model:
            raise ValueError(
                f"encoder and decoder must be equally wide, got d_model {self.encoder.d_model} and "
                f"{self.decoder.d_model}"
            )
        if self.share_embedding and self.encoder.vocab_size != self.decoder.vocab_size:
            raise ValueError(
                f"one embedding has one vocab_size, got {self.encoder.vocab_size} for the encoder and "
                f"{self.decoder.vocab_size} for the decoder"
            )
        if self.decoder.parallel:
            raise ValueError("parallel sublayers leave no place for cross-attention between them")
        if self.encoder.sliding_window is not None:
            raise ValueError("a sliding_window only bounds what comes before a token; an encoder looks both ways")
        if self.n_cross_kv_heads < 1 or self.decoder.n_heads % self.n_cross_kv_heads:
            raise ValueError(f"cross_kv_heads ({self.n_cross_kv_heads}) must divide n_heads ({self.decoder.n_heads})")
        for name, token in (("start_id", self.start_id), ("forced_id", self.forced_id)):
            if token is not None and not 0 <= token < self.decoder.vocab_size:
                raise ValueError(f"{name} must be a token below vocab_size ({self.decoder.vocab_size}), got {token}")

    @classmethod
    def alike(cls, config: DecoderConfig, *, start_id: int, encoder: dict[str, Any] | None = None, **own: Any) -> Self:
        """Both sides of one configuration; `encoder` are keys in which the encoder differs, `own` further fields."""
        fixed = {"causal": False, "tie_embeddings": True, "logits_bias": False}
        return cls(encoder=replace(config, **{**(encoder or {}), **fixed}), decoder=config, start_id=start_id, **own)

    @property
    def n_cross_kv_heads(self) -> int:
        """The key and value heads of cross-attention."""
        return self.decoder.n_kv_heads if self.cross_kv_heads is None else self.cross_kv_heads

    @property
    def prefix(self) -> list[int]:
        """What every target begins with."""
        return [self.start_id] if self.forced_id is None else [self.start_id, self.forced_id]

    @property
    def deepnorms(self) -> tuple[DeepNorm, DeepNorm]:
        """The constants of encoder and decoder, of N and M layers (Wang 2022, figure 2, the last two columns)."""
        n, m = self.encoder.n_layers, self.decoder.n_layers
        depth = (n**4 * m) ** (1 / 16)
        return (
            DeepNorm(0.81 * depth, 0.87 / depth) if self.encoder.norm_placement == "deepnorm" else DeepNorm(),
            DeepNorm((3 * m) ** 0.25, (12 * m) ** -0.25) if self.decoder.norm_placement == "deepnorm" else DeepNorm(),
        )
