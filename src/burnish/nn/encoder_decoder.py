"""The encoder-decoder transformer (Vaswani 2017, arXiv:1706.03762, figure 1): a source is read, a target is written.

Notable choices:
- both sides are the `Decoder` that stands alone elsewhere, by the same configuration: the encoder is one where nothing
  is causal, the decoder one whose blocks have cross-attention between their two sublayers;
- the input is two forests, and the i-th tree of targets goes with the i-th of sources: one source that several targets
  share is encoded once, and none of it is padding;
- keys and values of the source are made once for a forward pass, and once for all the tokens that decoding adds.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.attention import AttendAcross, Attention, Backend, cross_attention
from burnish.nn.config import EncoderDecoderConfig
from burnish.nn.decoder import Decoder
from burnish.nn.log_probabilities import Scores


class EncoderDecoder(nn.Module):
    """A model of targets given sources. Its weights are random until a checkpoint is loaded."""

    def __init__(self, config: EncoderDecoderConfig, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        of_encoder, of_decoder = config.deepnorms
        self.encoder = Decoder(config.encoder, compute_dtype=compute_dtype, deepnorm=of_encoder)
        self.decoder = Decoder(
            config.decoder, compute_dtype=compute_dtype, cross_kv_heads=config.n_cross_kv_heads, deepnorm=of_decoder
        )
        if config.share_embedding:
            self.encoder.embedding = self.decoder.embedding

    def initialize(self, *, seed: int) -> None:
        """Random weights, a function of the configuration and `seed`."""
        self.encoder.initialize(seed=2 * seed)
        self.decoder.initialize(seed=2 * seed + 1)

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.decoder.compute_dtype

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Run the matrix products in `dtype` from now on; parameters stay float32."""
        self.encoder.set_compute_dtype(dtype)
        self.decoder.set_compute_dtype(dtype)

    def forward(
        self,
        targets: Forest,
        sources: Forest,
        *,
        scored: Tensor | None = None,
        temperature: float = 1.0,
        entropies: bool = False,
        backend: Backend | None = None,
    ) -> Tensor | Scores:
        """Final-normed hidden states of all tokens of `targets`, `[n_tokens, d_model]` float32; or scores of some.

        The i-th tree of targets is written from the i-th tree of sources. scored, temperature, entropies: as for
        `Decoder.forward`. Raises ValueError where the forests differ in their number of trees, where learned positions
        end before one of them does, and where a root's first token is scored: it is given.
        """
        across = self.across(self.encoder(sources, backend=backend), targets, sources)
        options = {} if scored is None else {"scored": scored, "temperature": temperature, "entropies": entropies}
        found: Tensor | Scores = self.decoder(targets, backend=backend, across=across, **options)
        return found

    def keys_and_values(self, encoded: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each layer's cross-attention reads of the encoder's output `[source tokens, d_model]`.

        Keys and values are `[source tokens, n_cross_kv_heads, head_dim]` float32.
        """
        modules = (block.get_submodule("cross_attention") for block in self.decoder.blocks)
        return [module.keys_and_values(encoded) for module in modules if isinstance(module, Attention)]

    def across(self, encoded: Tensor, targets: Forest, sources: Forest) -> Callable[[int], AttendAcross]:
        """Each layer's attention of `targets` to the sources, whose encoder output is `encoded`."""
        stored = self.keys_and_values(encoded)

        def across(layer: int) -> AttendAcross:
            (k, v), rule = stored[layer], self.decoder.attention_rule(layer)
            return lambda q: cross_attention(q, k, v, targets, sources, rule)

        return across

    def logits(self, hidden: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., vocab_size]` float32."""
        return self.decoder.logits(hidden)

    def logps(self, targets: Forest, scored: Tensor, sources: Forest, *, backend: Backend | None = None) -> Tensor:
        """log p(token | its path, its tree's source) in nats for indices `scored` `[n]` of targets: float32 `[n]`.

        Raises ValueError as `forward`, and where a root's first token is scored: it is given.
        """
        scores: Scores = self(targets, sources, scored=scored, backend=backend)
        return scores.logps

    def pack(self, rows: int) -> None:
        """Prepare the decoder's weights for products of up to `rows` rows, as decoding needs them."""
        self.decoder.pack(rows)
