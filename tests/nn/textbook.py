"""The network written out from plain operations: K and V repeated, every mask dense, no module of the package.

Everything runs in the dtype of its arguments; the tests give it float64.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.forest import Forest
from burnish.nn.config import AttentionRule, DecoderConfig, EncoderDecoderConfig

Parameters = Mapping[str, Tensor]


def visible(forest: Forest, rule: AttentionRule) -> Tensor:
    """`[n_tokens, n_tokens]` bool: row i is True where query i sees key j, by walking every path."""
    seen = torch.zeros(forest.n_tokens, forest.n_tokens, dtype=torch.bool)
    for segment, length in enumerate(forest.lengths):
        path = forest.path(segment)
        for place in range(len(path) - length, len(path)):
            first = 0 if rule.window is None else max(0, place - rule.window + 1)
            seen[path[place], path[first : place + 1 if rule.causal else None]] = True
    return seen


def tree_of(forest: Forest) -> Tensor:
    """`[n_tokens]`: which tree each token belongs to."""
    trees = torch.empty(forest.n_tokens, dtype=torch.long)
    for segment in range(forest.n_segments):
        trees[forest.path(segment)] = sum(parent == -1 for parent in forest.parents[: segment + 1])
    return trees


def attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor, rule: AttentionRule) -> Tensor:
    """Scaled dot-product attention where `seen` `[queries, keys]`, each K/V head repeated for its group of queries."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    scores = torch.einsum("qhd,khd->hqk", q, k) * (q.shape[-1] ** -0.5 if rule.scale is None else rule.scale)
    if rule.softcap is not None:
        scores = rule.softcap * torch.tanh(scores / rule.softcap)
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def rotate(x: Tensor, positions: Tensor, dim: int, theta: float, factor: float = 1.0) -> Tensor:
    """Dimensions j and j + dim / 2 of `x` `[n, heads, head_dim]` as one complex number, turned; the others stay."""
    radians = positions[:, None] * theta ** (-torch.arange(0, dim, 2, dtype=x.dtype) / dim) / factor
    turned = (
        torch.complex(x[..., : dim // 2], x[..., dim // 2 : dim])
        * torch.polar(torch.ones_like(radians), radians)[:, None]
    )
    return torch.cat([turned.real, turned.imag, x[..., dim:]], dim=-1)


def decoder(
    config: DecoderConfig,
    parameters: Parameters,
    forest: Forest,
    *,
    rope_factor: float = 1.0,
    training: bool = True,
    context: Tensor | None = None,
    seen: Tensor | None = None,
    alpha: float | None = None,
) -> Tensor:
    """Final hidden states `[n_tokens, d_model]`; parameters are those of `Decoder.state_dict()`.

    rope_factor: divides the rotations of the layers without a window of their own base. context: the encoder's output,
    which cross-attention sees where `seen`; alpha: DeepNorm's, in place of a decoder's own.
    """
    x = parameters["embedding.weight"][forest.tokens] * config.embedding_scale
    if config.positions == "learned":
        x = x + parameters["position_embedding.weight"][forest.positions]
    if config.embedding_norm:
        x = norm(config, _below(parameters, "embedding_norm"), x, training=training)
    scale = (alpha or (2 * config.n_layers) ** 0.25) if config.norm_placement == "deepnorm" else 1.0
    for layer in range(config.n_layers):
        block = _below(parameters, f"blocks.{layer}")

        def attend(y: Tensor, layer: int = layer, block: Parameters = block) -> Tensor:
            return attention_layer(config, _below(block, "attention"), y, forest, layer=layer, rope_factor=rope_factor)

        def read(y: Tensor, layer: int = layer, block: Parameters = block) -> Tensor:
            cross = _below(block, "cross_attention")
            heads = replace(config, n_kv_heads=(len(cross["qkv.weight"]) // config.head_dim - config.n_heads) // 2)
            return attention_layer(heads, cross, y, forest, layer=layer, context=context, seen=seen)

        def feed(y: Tensor, block: Parameters = block) -> Tensor:
            return feed_forward(config, _below(block, "feed_forward"), y)

        def normed(y: Tensor, name: str, block: Parameters = block) -> Tensor:
            return norm(config, _below(block, name), y, training=training)

        if config.parallel:
            attended = attend(normed(x, "attention_norm"))
            fed = feed(normed(x, "attention_norm" if config.shared_norm else "feed_forward_norm"))
            x = (x if config.residual else 0) + attended + fed
        else:
            sublayers = {"attention": attend, "cross_attention": read, "feed_forward": feed}
            for name, sublayer in sublayers.items():
                if sublayer is read and context is None:
                    continue
                x = _placed(config, x, sublayer, normed, name, scale)
    if config.norm_placement in ("post", "deepnorm"):
        return x
    return norm(config, _below(parameters, "norm"), x, training=training)


def encoder_decoder(
    config: EncoderDecoderConfig, parameters: Parameters, targets: Forest, sources: Forest, *, training: bool = True
) -> Tensor:
    """Final hidden states of targets `[n_tokens, d_model]`; parameters are those of `EncoderDecoder.state_dict()`."""
    n, m = config.encoder.n_layers, config.decoder.n_layers
    encoder, decoder_ = _below(parameters, "encoder"), _below(parameters, "decoder")
    context = decoder(config.encoder, encoder, sources, training=training, alpha=0.81 * n**0.25 * m**0.0625)
    seen = tree_of(targets)[:, None] == tree_of(sources)[None, :]
    return decoder(
        config.decoder, decoder_, targets, training=training, context=context, seen=seen, alpha=(3 * m) ** 0.25
    )


def _placed(
    config: DecoderConfig,
    x: Tensor,
    sublayer: Callable[[Tensor], Tensor],
    normed: Callable[[Tensor, str], Tensor],
    name: str,
    scale: float,
) -> Tensor:
    kept = scale * x if config.residual else torch.zeros_like(x)
    before, after = f"{name}_norm", f"{name}_output_norm"
    match config.norm_placement:
        case "pre":
            return kept + sublayer(normed(x, before))
        case "post" | "deepnorm":
            return normed(kept + sublayer(x), before)
        case "sandwich":
            return kept + normed(sublayer(normed(x, before)), after)
        case "reordered":
            return kept + normed(sublayer(x), before)


def attention_layer(
    config: DecoderConfig,
    parameters: Parameters,
    x: Tensor,
    forest: Forest,
    *,
    layer: int = 0,
    rope_factor: float = 1.0,
    context: Tensor | None = None,
    seen: Tensor | None = None,
) -> Tensor:
    """Self-attention over the forest, or cross-attention to `context` where `seen`; unrotated in the latter case."""
    rule = config.attention_rule(layer)
    widths = [heads * config.head_dim for heads in (config.n_heads, config.n_kv_heads, config.n_kv_heads)]
    weights = matrix(parameters, "qkv").split(widths)
    biases = parameters["qkv.bias"].split(widths) if config.qkv_bias else (None, None, None)
    sources = (x, x, x) if context is None else (x, context, context)
    q, k, v = (F.linear(y, w, b) for y, w, b in zip(sources, weights, biases, strict=True))
    if config.qk_norm == "projection":
        q, k = (_rms(y, parameters[f"{name}_norm.weight"], config.norm_eps) for y, name in ((q, "q"), (k, "k")))
    q, k, v = (y.unflatten(-1, (-1, config.head_dim)) for y in (q, k, v))
    if config.qk_norm == "head":
        q, k = (_rms(y, parameters[f"{name}_norm.weight"], config.norm_eps) for y, name in ((q, "q"), (k, "k")))
    if context is None and config.positions == "rotary" and layer not in config.unrotated_layers:
        local = rule.window is not None and config.local_rope_theta is not None
        theta, factor = (config.local_rope_theta, 1.0) if local else (config.rope_theta, rope_factor)
        q, k = (rotate(y, forest.positions, config.rotary_dim or config.head_dim, theta, factor) for y in (q, k))
    out = attention(q, k, v, visible(forest, rule) if seen is None else seen, rule).flatten(1)
    return F.linear(out, matrix(parameters, "o"), parameters.get("o.bias"))


def feed_forward(config: DecoderConfig, parameters: Parameters, x: Tensor) -> Tensor:
    """`down(act(gate(x)) · up(x))`, or without the gate."""
    act = {"silu": lambda y: y * y.sigmoid(), "gelu": _gelu, "gelu_tanh": _gelu_tanh, "relu": lambda y: y.clamp(min=0)}
    if config.gated:
        gate, up = F.linear(x, matrix(parameters, "gate_up"), parameters.get("gate_up.bias")).chunk(2, dim=-1)
        inner = act[config.activation](gate) * up
    else:
        inner = act[config.activation](F.linear(x, matrix(parameters, "up"), parameters.get("up.bias")))
    return F.linear(inner, matrix(parameters, "down"), parameters.get("down.bias"))


def norm(config: DecoderConfig, parameters: Parameters, x: Tensor, *, training: bool = True) -> Tensor:
    """The configured norm of `x` `[tokens, d_model]`."""
    if config.norm in ("weight", "none"):
        return x
    if config.norm == "rms":
        return _rms(x, parameters["weight"], config.norm_eps)
    if config.norm == "layer":
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    elif training and len(x) > 1:
        mean, variance = x.mean(0), x.var(0, unbiased=False)
    else:
        mean, variance = parameters["running_mean"], parameters["running_variance"]
    return (x - mean) / (variance + config.norm_eps).sqrt() * parameters["weight"] + parameters.get("bias", 0)


def matrix(parameters: Parameters, name: str) -> Tensor:
    """The matrix of a projection; with WeightNorm `g v / ‖v‖`, row by row."""
    weight = parameters[f"{name}.weight"]
    gain = parameters.get(f"{name}.gain")
    return weight if gain is None else gain[:, None] * weight / weight.square().sum(1, keepdim=True).sqrt()


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def _gelu_tanh(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def _below(parameters: Parameters, prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) + 1 :]: tensor for name, tensor in parameters.items() if name.startswith(f"{prefix}.")}
