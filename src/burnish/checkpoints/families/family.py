"""What a checkpoint of one model family looks like, as data: its configuration keys and its tensors.

A tensor is a `WeightRule`: the decoder's parameter, or the rows of it that this tensor holds; its names in Hugging
Face's and in GGUF's files; its shape; and how Hugging Face lays it out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from burnish.checkpoints.families.settings import Conversion
from burnish.nn.config import DecoderConfig

Layout = Literal["plain", "transposed", "by_head", "less_one", "behind_two"]
"""How Hugging Face stores a tensor whose shape in the decoder is `[rows, ...]`.

plain       as it is
transposed  `[in, out]`: GPT-2's Conv1D
by_head     the rows of fused queries, keys and values head by head: q0 k0 v0 q1 k1 v1 ... (GPT-NeoX)
less_one    a norm's weight less one (Gemma)
behind_two  the rows behind two that nothing reads: positions counted from the token after the padding (BART)
"""


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One tensor of a checkpoint with a certain configuration.

    name: the decoder's parameter; `rows` of it are this tensor, all where `part` (q, k, v, gate or up) is None.
    huggingface, gguf: its names in the formats.
    shape: in the decoder and in GGUF.
    layout: how Hugging Face stores it, with `heads` for the layouts that need their number.
    interleaved_heads: number of heads of a projection (or its bias) whose rows GGUF stores with each rotary pair side
        by side (x0, y0, x1, y1, ...) where the decoder keeps the halves apart (x0, x1, ..., y0, y1, ...).
    """

    name: str
    part: str | None
    rows: slice
    huggingface: str
    gguf: str
    shape: tuple[int, ...]
    layout: Layout
    heads: int
    interleaved_heads: int | None

    @property
    def huggingface_shape(self) -> tuple[int, ...]:
        if self.layout == "behind_two":
            return self.shape[0] + 2, *self.shape[1:]
        return self.shape[::-1] if self.layout == "transposed" else self.shape

    def to_decoder(self, stored: Tensor) -> Tensor:
        """From Hugging Face's layout `[huggingface_shape]` to the decoder's `[shape]`."""
        if self.layout == "transposed":
            return stored.t().contiguous()
        if self.layout == "behind_two":
            return stored[2:].clone()
        return stored + 1 if self.layout == "less_one" else self.rows_to_decoder(stored)

    def from_decoder(self, tensor: Tensor) -> Tensor:
        """The reverse of `to_decoder`."""
        if self.layout == "transposed":
            return tensor.t().contiguous()
        if self.layout == "behind_two":
            return torch.cat([tensor.new_zeros(2, *tensor.shape[1:]), tensor])
        return tensor - 1 if self.layout == "less_one" else self.rows_from_decoder(tensor)

    def rows_to_decoder(self, stored: Tensor) -> Tensor:
        """Rows `[shape[0], ...]`, also of an adapter's output, from Hugging Face's order to the decoder's."""
        if self.layout != "by_head":
            return stored
        return stored.unflatten(0, (self.heads, 3, -1)).transpose(0, 1).flatten(0, 2)

    def rows_from_decoder(self, tensor: Tensor) -> Tensor:
        """The reverse of `rows_to_decoder`."""
        if self.layout != "by_head":
            return tensor
        return tensor.unflatten(0, (3, self.heads, -1)).transpose(0, 1).flatten(0, 2)


@dataclass(frozen=True, kw_only=True)
class WeightRule:
    """A `Weight` for any configuration: `{i}` in a name is the layer, the shape is made of named sizes.

    `when` is the field of `DecoderConfig` that must be true for the tensor to exist; `interleaved_heads` the field
    with the number of heads.
    """

    name: str
    huggingface: str
    gguf: str
    shape: tuple[str, ...]
    part: str | None = None
    layout: Layout = "plain"
    when: str | None = None
    interleaved_heads: str | None = None


@dataclass(frozen=True, kw_only=True)
class Family:
    """What checkpoints of one architecture look like.

    architecture, reward_architecture: classes of transformers, for language models and for reward models.
    constants: fields of `DecoderConfig` that no key sets.
    huggingface_keys, gguf_keys: fields of `DecoderConfig` to configuration keys (those of GGUF without the architecture
        before them); `defaults` are the values of absent keys, and a field without one must be present.
    conversions: keys of config.json that take computing.
    fixed: further keys of config.json and the values under which the decoder computes this model; absent keys are
        fine. The first value is what is written, nothing where it is None.
    idle: further keys that change nothing that the decoder computes, whatever their value.
    divided: transformers refuses a width that is no multiple of the number of heads, even where head_dim is given.
    prefix: what tensors are called below, absent in files that were saved without the head.
    ignored: endings of tensors that older files carry although they are computed.
    head_also: what other versions of transformers call the output layer.
    token_head: what transformers calls the head of its class for token classification; None where it has no such class.
    """

    model_type: str
    architecture: str
    reward_architecture: str
    gguf_architecture: str
    constants: Mapping[str, Any] = field(default_factory=dict)
    huggingface_keys: Mapping[str, str]
    gguf_keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any]
    conversions: tuple[Conversion, ...]
    fixed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    divided: bool = False
    prefix: str = "model."
    ignored: tuple[str, ...] = ("rotary_emb.inv_freq",)
    weights: tuple[WeightRule, ...]
    layer_weights: tuple[WeightRule, ...]
    untied_weights: tuple[WeightRule, ...]
    head_also: str | None = None
    token_head: str | None = "score"

    @property
    def token_architecture(self) -> str | None:
        """The class of transformers for process reward models, which label tokens; None where there is none."""
        if self.token_head is None:
            return None
        return self.reward_architecture.replace("ForSequenceClassification", "ForTokenClassification")

    def expected_weights(self, config: DecoderConfig) -> Iterator[Weight]:
        """Every tensor that a checkpoint with this configuration has."""
        q, kv = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        sizes = {
            "vocab": config.vocab_size,
            "positions": config.max_positions,
            "d_model": config.d_model,
            "d_ff": config.d_ff,
            "gate_up": 2 * config.d_ff,
            "head_dim": config.head_dim,
            "q": q,
            "kv": kv,
            "qkv": q + 2 * kv,
        }
        starts = {"q": 0, "k": q, "v": q + kv, "gate": 0, "up": config.d_ff}
        rules = [(rule, 0) for rule in self.weights]
        rules += [(rule, layer) for layer in range(config.n_layers) for rule in self.layer_weights]
        if not config.tie_embeddings:
            rules += [(rule, 0) for rule in self.untied_weights]
        for rule, layer in rules:
            if rule.when is not None and not getattr(config, rule.when):
                continue
            shape = tuple(sizes[size] for size in rule.shape)
            start = 0 if rule.part is None else starts[rule.part]
            yield Weight(
                name=rule.name.format(i=layer),
                part=rule.part,
                rows=slice(start, start + shape[0]),
                huggingface=rule.huggingface.format(i=layer),
                gguf=rule.gguf.format(i=layer),
                shape=shape,
                layout=rule.layout,
                heads=config.n_heads,
                interleaved_heads=None if rule.interleaved_heads is None else getattr(config, rule.interleaved_heads),
            )


def projection(
    name: str,
    huggingface: str,
    gguf: str,
    shape: tuple[str, str],
    *,
    part: str | None = None,
    bias: str | None = None,
    layout: Layout = "plain",
    interleaved_heads: str | None = None,
) -> tuple[WeightRule, ...]:
    """The weight of a projection and, where the family may have one, its bias, by the field that says whether."""
    weight = WeightRule(
        name=f"{name}.weight",
        huggingface=f"{huggingface}.weight",
        gguf=f"{gguf}.weight",
        shape=shape,
        part=part,
        layout=layout,
        interleaved_heads=interleaved_heads,
    )
    if bias is None:
        return (weight,)
    return weight, replace(
        weight,
        name=f"{name}.bias",
        huggingface=f"{huggingface}.bias",
        gguf=f"{gguf}.bias",
        shape=shape[:1],
        layout="plain" if layout == "transposed" else layout,
        when=bias,
    )


def norm(
    name: str, huggingface: str, gguf: str, width: str = "d_model", *, bias: bool = False, layout: Layout = "plain"
) -> tuple[WeightRule, ...]:
    """The weight of a norm, and its bias."""
    endings = ("weight", "bias") if bias else ("weight",)
    return tuple(
        WeightRule(
            name=f"{name}.{ending}",
            huggingface=f"{huggingface}.{ending}",
            gguf=f"{gguf}.{ending}",
            shape=(width,),
            layout=layout,
        )
        for ending in endings
    )


def table(name: str, huggingface: str, gguf: str, rows: str = "vocab") -> WeightRule:
    """An embedding, or the output layer, which has its shape."""
    return WeightRule(
        name=f"{name}.weight", huggingface=f"{huggingface}.weight", gguf=f"{gguf}.weight", shape=(rows, "d_model")
    )


def in_layers(huggingface: str, *groups: tuple[WeightRule, ...]) -> tuple[WeightRule, ...]:
    """Rules of a block with the names that they have in the whole model; `huggingface` is the path of block {i}."""
    return tuple(
        replace(
            rule,
            name="blocks.{i}." + rule.name,
            huggingface=f"{huggingface}.{rule.huggingface}",
            gguf="blk.{i}." + rule.gguf,
        )
        for group in groups
        for rule in group
    )
