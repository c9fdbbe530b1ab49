"""BERT (Devlin 2018, arXiv:1810.04805) and RoBERTa (Liu 2019, arXiv:1907.11692): encoders of single texts.

Post-norm with LayerNorm and biases everywhere, learned positions, a norm of the embeddings, and attention both ways.
Of the two kinds of a pair of texts a text alone has the first, whose embedding is therefore a part of every position's.
RoBERTa counts positions from the token after the padding, which leaves two rows that nothing reads before the first.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from burnish.checkpoints.families.family import Family, in_layers, norm, projection, table
from burnish.checkpoints.families.settings import ConfigKeys, Conversion, activation

KINDS = "embeddings.token_type_embeddings.weight"
"""The embedding of what a text is of a pair: the first row is that of a text alone."""

_POSITIONS = table("position_embedding", "bert.embeddings.position_embeddings", "", "positions")
_LAYERS = in_layers(
    "bert.encoder.layer.{i}",
    *(
        projection("attention.qkv", f"attention.self.{theirs}", "", (width, "d_model"), part=part, bias="qkv_bias")
        for part, theirs, width in (("q", "query", "q"), ("k", "key", "kv"), ("v", "value", "kv"))
    ),
    projection("attention.o", "attention.output.dense", "", ("d_model", "q"), bias="attention_bias"),
    norm("attention_norm", "attention.output.LayerNorm", "", bias=True),
    projection("feed_forward.up", "intermediate.dense", "", ("d_ff", "d_model"), bias="feed_forward_bias"),
    projection("feed_forward.down", "output.dense", "", ("d_model", "d_ff"), bias="feed_forward_bias"),
    norm("feed_forward_norm", "output.LayerNorm", "", bias=True),
)

BERT = Family(
    model_type="bert",
    architecture="BertModel",
    reward_architecture="BertForSequenceClassification",
    token_head=None,
    gguf_architecture="",
    constants={
        **{"qkv_bias": True, "attention_bias": True, "feed_forward_bias": True},
        "causal": False,
        "positions": "learned",
        "norm": "layer",
        "norm_placement": "post",
        "embedding_norm": True,
        "gated": False,
    },
    huggingface_keys={
        "vocab_size": "vocab_size",
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "d_ff": "intermediate_size",
        "norm_eps": "layer_norm_eps",
        "max_positions": "max_position_embeddings",
    },
    defaults={"norm_eps": 1e-12, "max_positions": 512},
    conversions=(activation("hidden_act", "gelu"),),
    fixed={
        "position_embedding_type": ("absolute", None),
        "is_decoder": (None, False),
        "is_causal": (None, False),
        "tie_word_embeddings": (None, True, False),
    },
    idle=(
        "type_vocab_size",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "directionality",
    ),
    divided=True,
    prefix="bert.",
    ignored=(
        "embeddings.position_ids",
        # what stands behind the encoder for other tasks
        *("pooler.dense.weight", "pooler.dense.bias"),
        *("cls.predictions.bias", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"),
        *("cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias"),
        *("cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias"),
        *("cls.seq_relationship.weight", "cls.seq_relationship.bias"),
        *(
            "lm_head.bias",
            "lm_head.dense.weight",
            "lm_head.dense.bias",
            "lm_head.decoder.weight",
            "lm_head.decoder.bias",
        ),
        *("lm_head.layer_norm.weight", "lm_head.layer_norm.bias"),
    ),
    weights=(
        table("embedding", "bert.embeddings.word_embeddings", ""),
        _POSITIONS,
        *norm("embedding_norm", "bert.embeddings.LayerNorm", "", bias=True),
    ),
    layer_weights=_LAYERS,
    untied_weights=(),
)


def _read_positions(settings: ConfigKeys, known: Mapping[str, Any]) -> dict[str, Any]:
    if known["max_positions"] < 3:
        settings.refuse("max_position_embeddings", "of which the first two are of no position: expected at least 3")
    return {"max_positions": known["max_positions"] - 2}


def _roberta(model_type: str, architecture: str) -> Family:
    def renamed(name: str) -> str:
        return name.replace("bert.", "roberta.", 1)

    return replace(
        BERT,
        model_type=model_type,
        architecture=architecture,
        reward_architecture="",
        prefix="roberta.",
        conversions=(
            *BERT.conversions,
            Conversion(_read_positions, lambda config: {"max_position_embeddings": config.max_positions + 2}, ()),
        ),
        fixed={**BERT.fixed, "pad_token_id": (1,)},
        weights=tuple(
            replace(
                rule,
                huggingface=renamed(rule.huggingface),
                layout="behind_two" if rule.name == _POSITIONS.name else "plain",
            )
            for rule in BERT.weights
        ),
        layer_weights=tuple(replace(rule, huggingface=renamed(rule.huggingface)) for rule in BERT.layer_weights),
    )


ROBERTA = _roberta("roberta", "RobertaModel")
XLM_ROBERTA = _roberta("xlm-roberta", "XLMRobertaModel")
FAMILIES: Mapping[str, Family] = {family.model_type: family for family in (BERT, ROBERTA, XLM_ROBERTA)}
