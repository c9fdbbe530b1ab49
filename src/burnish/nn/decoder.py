"""The decoder-only transformer.

Notable choices:
- the input is a forest, not a padded batch; activations are `[tokens, d_model]`;
- parameters and the residual stream are float32, matrix products run in `compute_dtype`;
- the vocabulary projection runs only where a token is scored, in chunks;
- which token sees which is decided outside the blocks, by an `attend` function for each layer, so that training
  over a forest and decoding against a KV cache are the same code.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from burnish.forest import Forest
from burnish.nn.attention import Attend, Backend, backend_for
from burnish.nn.block import Block
from burnish.nn.config import DecoderConfig
from burnish.nn.linear import Embedding, Linear
from burnish.nn.log_probabilities import log_probabilities
from burnish.nn.norm import RMSNorm
from burnish.nn.rotary import rotary_angles


class Decoder(nn.Module):
    """A language model over forests. Its weights are random until a checkpoint is loaded.

    Under `torch.device("meta")` nothing is allocated; `load_state_dict(state, assign=True)` fills it.
    """

    def __init__(self, config: DecoderConfig, *, compute_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config.vocab_size, config.d_model, compute_dtype=compute_dtype)
        self.blocks = nn.ModuleList(Block(config, compute_dtype=compute_dtype) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.d_model, eps=config.norm_eps)
        self.head: Linear | None = None
        if not config.tie_embeddings:
            self.head = Linear(config.d_model, config.vocab_size, compute_dtype=compute_dtype)
        if not self.embedding.weight.is_meta:
            self.initialize(seed=0)

    @torch.no_grad()
    def initialize(self, *, seed: int) -> None:
        """Random weights, normal with deviation 0.02; norms at one (Radford 2019, section 2.3)."""
        generator = torch.Generator(self.device).manual_seed(seed)
        for module in self.modules():
            if isinstance(module, Linear):
                module.weight.normal_(std=0.02, generator=generator)
            elif isinstance(module, RMSNorm):
                module.weight.fill_(1.0)

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

    def freeze_layers(self, n_layers: int) -> None:
        """Keep the embedding and the first `n_layers` blocks as they are; a tied output layer stays with the embedding.

        No gradient flows below the first trainable block, so a third of the blocks frozen saves a fifth of the work.
        Raises ValueError where no block would be left to train.
        """
        if not 0 <= n_layers < len(self.blocks):
            raise ValueError(f"cannot freeze {n_layers} of {len(self.blocks)} layers: at least one must train")
        if n_layers:
            for module in (self.embedding, *self.blocks[:n_layers]):
                module.requires_grad_(False)

    @property
    def output_projection(self) -> Linear:
        """The layer from hidden states to the vocabulary: the embedding where they are tied."""
        return self.embedding if self.head is None else self.head

    def forward(self, forest: Forest, *, backend: Backend | None = None) -> Tensor:
        """Final-normed hidden states of all tokens: `[n_tokens, d_model]` float32."""
        attention = backend or backend_for(self.device)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return attention(q, k, v, forest)

        return self.hidden(forest.tokens, forest.positions, lambda _layer: attend)

    def hidden(self, tokens: Tensor, positions: Tensor, attend: Callable[[int], Attend]) -> Tensor:
        """Hidden states of `tokens` `[n]` at `positions` `[n]`, where `attend(layer)` is that layer's attention."""
        x = self.embedding.lookup(tokens)
        angles = rotary_angles(positions, self.config.head_dim, self.config.rope_theta)
        for layer, block in enumerate(self.blocks):
            x = block(x, angles, attend(layer))
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """`[..., d_model]` -> `[..., vocab_size]` float32."""
        return self.output_projection(hidden).float()

    def logps(self, forest: Forest, scored: Tensor, *, backend: Backend | None = None) -> Tensor:
        """log p(token | its path) in nats for the token indices `scored` `[n]`: float32 `[n]`.

        Raises ValueError where a root's first token is scored: nothing predicts it.
        """
        predecessors = forest.predecessors[scored]
        if (predecessors < 0).any():
            raise ValueError("the first token of a root cannot be scored: no token comes before it")
        hidden = self(forest, backend=backend).index_select(0, predecessors)
        projection = self.output_projection
        return log_probabilities(hidden, projection.weight, projection.cast_weight(), forest.tokens[scored])
