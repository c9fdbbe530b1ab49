"""The decoder-only transformer.

Notable choices:
- the input is a forest, not a padded batch; activations are `[tokens, d_model]`;
- parameters, the residual stream and the logits are float32, the blocks' matrix products run in `compute_dtype`;
- the vocabulary projection runs only where a token is scored, in chunks;
- which token sees which is decided outside the blocks, by an `attend` function for each layer, so that training
  over a forest and decoding against a KV cache are the same code.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.attention import Attend, AttendAcross, Backend, backend_for
from burnish.nn.block import Block
from burnish.nn.config import AttentionRule, DecoderConfig, DeepNorm, Dropout
from burnish.nn.initialization import initialize
from burnish.nn.linear import Embedding, Linear, OutputProjection
from burnish.nn.log_probabilities import Scores, log_probabilities, log_probabilities_and_entropies, soft_capped
from burnish.nn.norm import make_norm
from burnish.nn.predictions import Predictions
from burnish.nn.rotary import Angles, rotary_angles

Across = Callable[[int], AttendAcross]
"""Each layer's attention to a context, of a decoder that has cross-attention."""


class Decoder(nn.Module):
    """A language model over forests. Its weights are random until a checkpoint is loaded.

    Under `torch.device("meta")` nothing is allocated; `load_state_dict(state, assign=True)` fills it.
    cross_kv_heads, deepnorm: as for `Block`, where it is a side of `burnish.nn.encoder_decoder`.
    """

    logits_bias: Tensor | None

    def __init__(
        self,
        config: DecoderConfig,
        *,
        compute_dtype: torch.dtype = torch.float32,
        cross_kv_heads: int | None = None,
        deepnorm: DeepNorm | None = None,
    ) -> None:
        super().__init__()
        self.config, self.deepnorm, self.dropout = config, deepnorm or config.deepnorm, Dropout()
        self.embedding = Embedding(config.vocab_size, config.d_model, compute_dtype=compute_dtype)
        self.position_embedding: Embedding | None = None
        if config.positions == "learned":
            self.position_embedding = Embedding(config.max_positions, config.d_model, compute_dtype=compute_dtype)
        self.embedding_norm = make_norm(config) if config.embedding_norm else None
        self.blocks = nn.ModuleList(
            Block(config, compute_dtype=compute_dtype, cross_kv_heads=cross_kv_heads, deepnorm=self.deepnorm)
            for _ in range(config.n_layers)
        )
        # Where every block ends with a norm of the residual stream, another would only repeat it.
        self.norm = nn.Identity() if config.norm_placement in ("post", "deepnorm") else make_norm(config)
        self.head: OutputProjection | None = None
        if not config.tie_embeddings:
            self.head = OutputProjection(config.d_model, config.vocab_size, compute_dtype=compute_dtype)
        self.register_buffer("logits_bias", torch.zeros(config.vocab_size) if config.logits_bias else None)
        if not self.embedding.weight.is_meta:
            self.initialize(seed=0)

    def initialize(self, *, seed: int) -> None:
        """Random weights, a function of the configuration and `seed`: see `burnish.nn.initialization`."""
        initialize(self, self.config, torch.Generator(self.device).manual_seed(seed), deepnorm=self.deepnorm)

    @property
    def device(self) -> torch.device:
        return self.embedding.weight.device

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.embedding.compute_dtype

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        """Run the matrix products in `dtype` from now on; parameters stay float32."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.compute_dtype = dtype

    def set_dropout(self, dropout: Dropout) -> None:
        """Drop so much in training mode from now on: a setting of a training, which no checkpoint has."""
        self.dropout = dropout
        for block in self.modules():
            if isinstance(block, Block):
                block.dropout = dropout.residual

    def attention_rule(self, layer: int) -> AttentionRule:
        """The configuration's rule of a layer, in training with the dropout that was set."""
        rule = self.config.attention_rule(layer)
        return replace(rule, dropout=self.dropout.attention) if self.training and self.dropout.attention else rule

    def freeze_layers(self, n_layers: int) -> None:
        """Keep the embedding and the first `n_layers` blocks as they are; a tied output layer stays with the embedding.

        No gradient flows below the first trainable block, so a third of the blocks frozen saves a fifth of the work.
        Raises ValueError where no block would be left to train.
        """
        if not 0 <= n_layers < len(self.blocks):
            raise ValueError(f"cannot freeze {n_layers} of {len(self.blocks)} layers: at least one must train")
        if n_layers:
            for module in (self.embedding, self.position_embedding, self.embedding_norm, *self.blocks[:n_layers]):
                if module is not None:
                    module.requires_grad_(False)

    @property
    def output_projection(self) -> OutputProjection:
        """The layer from hidden states to the vocabulary: the embedding where they are tied."""
        return self.embedding if self.head is None else self.head

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch; training frees what `pack` made, since it changes the weights."""
        if mode:
            for module in self.modules():
                if isinstance(module, Linear):
                    module.unpack()
        return super().train(mode)

    def pack(self, rows: int) -> None:
        """Prepare the weights for products of up to `rows` rows, as decoding needs them: a copy of the weights."""
        # Positions are looked up, and of cross-attention's projection each product takes a part of the rows.
        blocks = (block for block in self.blocks if hasattr(block, "cross_attention"))
        across = (block.get_submodule("cross_attention.qkv") for block in blocks)
        apart = {self.position_embedding, *across}
        for module in self.modules():
            if isinstance(module, Linear) and module not in apart:
                module.pack(rows)

    @overload
    def forward(
        self, forest: Forest, *, scored: None = None, backend: Backend | None = None, across: Across | None = None
    ) -> Tensor: ...

    @overload
    def forward(
        self,
        forest: Forest,
        *,
        scored: Tensor,
        temperature: float = 1.0,
        entropies: bool = False,
        backend: Backend | None = None,
        across: Across | None = None,
    ) -> Scores: ...

    def forward(
        self,
        forest: Forest,
        *,
        scored: Tensor | None = None,
        temperature: float = 1.0,
        entropies: bool = False,
        backend: Backend | None = None,
        across: Across | None = None,
    ) -> Tensor | Scores:
        """Final-normed hidden states of all tokens, `[n_tokens, d_model]` float32; or the scores of some of them.

        scored: `[n]` int64, tokens whose log p(token | its path) at `temperature` is wanted, in nats; with the
        `entropies` of these distributions where asked for. All that reads parameters is in here, so that whatever wraps
        the module (sharding, hooks) sees it. across: as for `hidden`.

        Raises ValueError where learned positions end before the forest does, or a root's first token is scored:
        nothing predicts it.
        """
        hidden = self._hidden_of(forest, backend, across)
        if scored is None:
            return hidden
        score = log_probabilities_and_entropies if entropies else log_probabilities
        found = score(
            *self._predictions(_predicting(hidden, forest, scored)),
            forest.tokens[scored],
            softcap=self.config.logits_softcap,
            temperature=temperature,
        )
        return found._replace(hidden=hidden) if isinstance(found, Scores) else Scores(found, None, hidden)

    def _hidden_of(self, forest: Forest, backend: Backend | None, across: Across | None) -> Tensor:
        attention = backend or backend_for(self.device)
        if self.config.positions == "learned" and forest.longest_path > self.config.max_positions:
            raise ValueError(
                f"a sequence of {forest.longest_path} tokens is longer than the {self.config.max_positions} positions "
                "that the model has learned"
            )

        def attend(layer: int) -> Attend:
            rule = self.attention_rule(layer)
            return lambda q, k, v: attention(q, k, v, forest, rule)

        return self.hidden(forest.tokens, forest.positions, attend, across)

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor,
        attend: Callable[[int], Attend],
        across: Across | None = None,
    ) -> Tensor:
        """Hidden states of `tokens` `[n]` at `positions` `[n]`, where `attend(layer)` is that layer's attention.

        across: each layer's attention to a context, of a decoder that has cross-attention.
        """
        x = self.embedding.lookup(tokens)
        if self.config.embedding_scale != 1.0:
            x = x * self.config.embedding_scale
        if self.position_embedding is not None:
            x = x + self.position_embedding.lookup(positions)
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        if self.training and self.dropout.embedding:
            x = F.dropout(x, self.dropout.embedding)
        angles = self._angles(positions)
        for layer, block in enumerate(self.blocks):
            x = block(x, angles(layer), attend(layer), None if across is None else across(layer))
        return self.norm(x).float()

    def _angles(self, positions: Tensor) -> Callable[[int], Angles | None]:
        """The rotation of each layer at `positions`, each kind of layer computed once."""
        config = self.config
        if config.positions != "rotary":
            return lambda _layer: None
        make = partial(rotary_angles, positions, config.rotary_dim or config.head_dim)
        whole = make(config.rope_theta, config.rope_scaling)
        local = whole if config.local_rope_theta is None else make(config.local_rope_theta)

        def angles(layer: int) -> Angles | None:
            if layer in config.unrotated_layers:
                return None
            return whole if config.window(layer) is None else local

        return angles

    def logits(self, hidden: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., vocab_size]` float32."""
        logits = self.output_projection(hidden)
        return soft_capped(
            logits if self.logits_bias is None else logits + self.logits_bias, self.config.logits_softcap
        )

    def logps(
        self, forest: Forest, scored: Tensor, *, temperature: float = 1.0, backend: Backend | None = None
    ) -> Tensor:
        """log p(token | its path) in nats for the token indices `scored` `[n]`: float32 `[n]`; see `forward`."""
        scores: Scores = self(forest, scored=scored, temperature=temperature, backend=backend)
        return scores.logps

    def predictions(self, forest: Forest, scored: Tensor, *, backend: Backend | None = None) -> Predictions:
        """The distributions that the tokens `scored` `[n]` are drawn from, before any logit is computed; see `forward`.

        For what reads whole distributions, such as `burnish.nn.divergence`.
        """
        hidden = _predicting(self._hidden_of(forest, backend, None), forest, scored)
        return Predictions(*self._predictions(hidden), self.config.logits_softcap)

    def _predictions(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden states and the output layer's weight, as it is and cast, whose products are the logits."""
        weight, cast = self.output_projection.weight, self.output_projection.cast_weight()
        if (bias := self.logits_bias) is None:
            return hidden, weight, cast
        # The bias as one more column, which every row has a one for: a copy of the weight, in the rare model with one.
        column = bias[:, None]
        hidden = torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)
        return hidden, torch.cat([weight, column], dim=1), torch.cat([cast, column.to(cast.dtype)], dim=1)


def _predicting(hidden: Tensor, forest: Forest, scored: Tensor) -> Tensor:
    """The hidden state before each scored token, which predicts it."""
    predecessors = forest.predecessors[scored]
    if (predecessors < 0).any():
        raise ValueError("the first token of a root cannot be scored: no token comes before it")
    return hidden.index_select(0, predecessors)
