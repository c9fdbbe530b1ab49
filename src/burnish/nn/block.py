"""One layer of the decoder: attention and feed-forward, and where the norms and residuals stand around them."""

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from burnish.nn.attention import Attend, AttendAcross, Attention
from burnish.nn.config import DecoderConfig, DeepNorm
from burnish.nn.feed_forward import FeedForward
from burnish.nn.norm import RMSNorm, make_norm
from burnish.nn.recompute import recomputed
from burnish.nn.rotary import Angles


class Block(nn.Module):
    """The sublayers with the placement of `DecoderConfig.norm_placement`, which gives the formulas.

    cross_kv_heads: key and value heads of cross-attention, a sublayer between the two; there is none where None.
    deepnorm: its constants, the configuration's where None.
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        compute_dtype: torch.dtype,
        cross_kv_heads: int | None = None,
        deepnorm: DeepNorm | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, compute_dtype=compute_dtype)
        if not config.shared_norm:
            self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config, compute_dtype=compute_dtype)
        if cross_kv_heads is not None:
            self.cross_attention_norm = make_norm(config)
            self.cross_attention = Attention(replace(config, n_kv_heads=cross_kv_heads), compute_dtype=compute_dtype)
            if config.norm_placement == "sandwich":
                self.cross_attention_output_norm = make_norm(config)
        if config.norm_placement == "sandwich":
            self.attention_output_norm = make_norm(config)
            self.feed_forward_output_norm = make_norm(config)
        self.placement, self.residual_scale = config.norm_placement, (deepnorm or config.deepnorm).alpha
        self.dropout = 0.0
        """Share of what a sublayer adds that is set to zero in training: see `Decoder.set_dropout`."""
        self.residual, self.parallel, self.shared_norm = config.residual, config.parallel, config.shared_norm

    def forward(self, x: Tensor, angles: Angles | None, attend: Attend, across: AttendAcross | None = None) -> Tensor:
        """`x` `[tokens, d_model]` float32 -> the same; `angles` None rotates nothing.

        across: the attention to a context, in a block that has cross-attention.
        """

        def attention(y: Tensor) -> Tensor:
            return self.attention(y, angles, attend)

        if self.parallel:
            y = self.attention_norm(x)
            branches = self._dropped(attention(y))
            branches = branches + self._dropped(self.feed_forward(y if self.shared_norm else self.feed_forward_norm(x)))
            return x + branches if self.residual else branches.float()
        x = self._sublayer(x, attention, "attention")
        if across is not None:
            x = self._sublayer(x, lambda y: self.cross_attention.across(y, across), "cross_attention")
        return self._sublayer(x, self.feed_forward, "feed_forward")

    def _sublayer(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], name: str) -> Tensor:
        norm = getattr(self, f"{name}_norm")
        if self.placement == "pre":
            return self._add(x, _of_normed(sublayer, norm, x))
        if self.placement == "sandwich":
            return self._add(x, getattr(self, f"{name}_output_norm")(_of_normed(sublayer, norm, x)))
        if self.placement == "reordered":
            return self._add(x, norm(sublayer(x)))
        return norm(self._add(x, sublayer(x)))

    def _dropped(self, branch: Tensor) -> Tensor:
        return F.dropout(branch, self.dropout) if self.dropout and self.training else branch

    def _add(self, x: Tensor, branch: Tensor) -> Tensor:
        branch = self._dropped(branch)
        if not self.residual:
            return branch.float()
        return x + branch if self.residual_scale == 1.0 else torch.add(branch, x, alpha=self.residual_scale)


def _of_normed(sublayer: Callable[[Tensor], Tensor], norm: nn.Module, x: Tensor) -> Tensor:
    """`sublayer(norm(x))`, keeping `x` alone for the backward pass where normalizing again is one pass."""
    y = norm(x)
    if not torch.is_grad_enabled() or not isinstance(norm, RMSNorm):
        return sublayer(y)
    kept = x.detach()
    with recomputed(y, lambda: norm(kept)):
        return sublayer(y)
