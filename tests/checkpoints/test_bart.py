"""BART: the same logits and tokens as transformers, from its files and back to them; what differs is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from references import assert_equal_logits
from safetensors.torch import load_file, save_file
from torch import Tensor

import burnish
from burnish.checkpoints import encoder_decoder
from burnish.errors import CheckpointError
from burnish.forest import Forest
from burnish.generation.engine import generate_from
from burnish.generation.sampling import Sampling
from burnish.nn.config import DecoderConfig, EncoderDecoderConfig
from burnish.nn.encoder_decoder import EncoderDecoder
from burnish.text.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "vocab_size": 300,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled embeddings": {"scale_embedding": True},
    "another activation": {"activation_function": "relu"},
}
SOURCES = [[1, 17, 30, 4, 4, 9, 100, 2], [1, 55, 2], list(range(40, 64)), [1, 17, 31, 250, 251, 8, 9, 2]]
TARGETS = [[2, 1, 20, 21, 22], [2, 30, 31, 200, 201, 202, 203], [2], [2, 1, 99]]

BART_BASE = {
    "activation_dropout": 0.1, "activation_function": "gelu", "add_bias_logits": False, "add_final_layer_norm": False,
    "architectures": ["BartModel"], "attention_dropout": 0.1, "bos_token_id": 0, "classif_dropout": 0.1,
    "classifier_dropout": 0.0, "d_model": 768, "decoder_attention_heads": 12, "decoder_ffn_dim": 3072,
    "decoder_layerdrop": 0.0, "decoder_layers": 6, "decoder_start_token_id": 2, "dropout": 0.1, "early_stopping": True,
    "encoder_attention_heads": 12, "encoder_ffn_dim": 3072, "encoder_layerdrop": 0.0, "encoder_layers": 6,
    "eos_token_id": 2, "forced_bos_token_id": 0, "forced_eos_token_id": 2, "gradient_checkpointing": False,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "init_std": 0.02, "is_encoder_decoder": True,
    "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}, "max_position_embeddings": 1024, "model_type": "bart",
    "no_repeat_ngram_size": 3, "normalize_before": False, "normalize_embedding": True, "num_beams": 4,
    "num_hidden_layers": 6, "pad_token_id": 1, "scale_embedding": False,
    "task_specific_params": {"summarization": {"length_penalty": 1.0, "max_length": 128}}, "torch_dtype": "float32",
    "transformers_version": "4.12.0.dev0", "use_cache": True, "vocab_size": 50265,
}  # fmt: skip
"""The keys of facebook/bart-base."""


def _randomize(model: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            around = parameter.round() if parameter.ndim == 1 else 0.0
            parameter.copy_(around + torch.randn(parameter.shape, generator=generator) * 0.25)
        model.final_logits_bias.normal_(generator=generator)
    return model.eval()


def _make(**changes: Any) -> Any:
    config = transformers.BartConfig(**{**SIZES, **changes})
    return _randomize(transformers.BartForConditionalGeneration._from_config(config, attn_implementation="eager"))


def _save(model: Any, tokenizer: Tokenizer, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(folder)
    return folder


def _load(folder: Path) -> EncoderDecoder:
    return burnish.load_encoder_decoder(folder, compute_dtype=torch.float32, device="cpu")[0].eval()


def _rewrite(file: Path, **changes: Any) -> None:
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


@torch.no_grad()
def _our_logits(model: EncoderDecoder) -> list[Tensor]:
    """All pairs in one pass."""
    targets, sources = (Forest.from_segments((x, -1) for x in each) for each in (TARGETS, SOURCES))
    return list(model.logits(model(targets, sources)).split([len(target) for target in TARGETS]))


@torch.no_grad()
def _assert_computes_the_same(model: EncoderDecoder, theirs: Any) -> None:
    for ours, source, target in zip(_our_logits(model), SOURCES, TARGETS, strict=True):
        out = theirs(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target]))
        assert_equal_logits(ours, out.logits[0])


def _their_greedy(theirs: Any, source: list[int], n: int, **options: Any) -> list[int]:
    prompt = torch.tensor([source])
    out = theirs.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, num_beams=1, max_new_tokens=n, **options
    )
    tokens: list[int] = out[0].tolist()
    return tokens


@pytest.fixture(scope="module", params=CASES)
def reference(request: pytest.FixtureRequest, tiny_tokenizer: Tokenizer, tmp_path_factory: Any) -> tuple[Any, Path]:
    """A model of transformers and the folder that it saved."""
    model = _make(**CASES[request.param])
    return model, _save(model, tiny_tokenizer, tmp_path_factory.mktemp("bart"))


def test_loads_what_transformers_saves(reference: tuple[Any, Path]) -> None:
    model, folder = reference
    _assert_computes_the_same(_load(folder), model)


def test_transformers_loads_what_we_save(
    reference: tuple[Any, Path], tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    _, folder = reference
    model = _load(folder)
    burnish.save_encoder_decoder(model, tiny_tokenizer, tmp_path / "model")
    theirs, info = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        tmp_path / "model", dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    assert not any(info.values()), info
    _assert_computes_the_same(model, theirs)
    again = _load(tmp_path / "model")
    assert again.config == model.config
    for (name, found), expected in zip(again.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(found, expected), name


@pytest.mark.parametrize("forced_id", [None, 1])
def test_generates_the_same_tokens(forced_id: int | None, tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Several sources in one batch; a token of the greedy text is made the stop, so that rows end apart."""
    theirs = _make()
    folder = _save(theirs, tiny_tokenizer, tmp_path)
    _rewrite(folder / "generation_config.json", forced_bos_token_id=forced_id)
    model = _load(folder)
    assert model.config.prefix == [2] if forced_id is None else [2, 1]
    options = {"forced_bos_token_id": forced_id, "forced_eos_token_id": None}
    alone = _their_greedy(theirs, SOURCES[0], 12, eos_token_id=None, **options)
    stop = alone[len(model.config.prefix) + 4]
    found = generate_from(model, SOURCES, Sampling(temperature=0, max_new_tokens=12, stop=frozenset({stop})))
    lengths = set()
    for source, (completion,) in zip(SOURCES, found, strict=True):
        expected = _their_greedy(theirs, source, 12 + len(model.config.prefix) - 1, eos_token_id=stop, **options)
        new = expected[len(model.config.prefix) :]
        assert completion.tokens == (new[: new.index(stop)] if stop in new else new)
        lengths.add(len(completion.tokens))
    assert len(lengths) > 1


def test_the_keys_of_bart_base_are_those_of_the_paper(tmp_path: Path, tiny_tokenizer: Tokenizer) -> None:
    """Its small sister: the published keys but for the sizes, weights without a head and with repeated embeddings."""
    theirs = _make()
    folder = _save(theirs, tiny_tokenizer, tmp_path)
    (folder / "generation_config.json").unlink()
    tensors = load_file(folder / "model.safetensors")
    tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "final_logits_bias"}
    for side in ("encoder", "decoder"):
        tensors[f"{side}.embed_tokens.weight"] = tensors["shared.weight"].clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**BART_BASE, **SIZES, "num_hidden_layers": 2}))
    model = _load(folder)
    assert model.config.prefix == [2, 0]
    theirs.final_logits_bias.zero_()
    _assert_computes_the_same(model, theirs)


def test_a_fine_tuned_model_is_saved_with_what_it_learned(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    theirs = _make()
    model = _load(_save(theirs, tiny_tokenizer, tmp_path / "base")).train()
    targets, sources = (Forest.from_segments((x, -1) for x in each) for each in (TARGETS[:2], SOURCES[:2]))
    scored = torch.arange(targets.n_tokens)[targets.predecessors >= 0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss = -model.logps(targets, scored, sources).mean()
    expected = torch.stack(
        [
            theirs(
                input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([t[:-1]]), labels=torch.tensor([t[1:]])
            ).loss
            * (len(t) - 1)
            for source, t in zip(SOURCES[:2], TARGETS[:2], strict=True)
        ]
    ).sum() / len(scored)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    loss.backward()
    expected.backward()
    grads = [model.decoder.blocks[0].cross_attention.o.weight.grad, model.decoder.embedding.weight.grad]
    their_grads = [theirs.model.decoder.layers[0].encoder_attn.out_proj.weight.grad, theirs.model.shared.weight.grad]
    for index, (mine, other) in enumerate(zip(grads, their_grads, strict=True)):
        if index == 1:  # transformers gives the embedding of the padding token no gradient of its lookups
            mine, other = mine[1:], other[1:]
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)
    optimizer.step()
    burnish.save_encoder_decoder(model.eval(), tiny_tokenizer, tmp_path / "tuned")
    tuned = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "tuned", attn_implementation="eager")
    _assert_computes_the_same(model, tuned.eval())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "t5"}, "model_type is 't5'; the supported encoder-decoders are bart"),
        ({"architectures": ["BartForSequenceClassification"]}, "only BartForConditionalGeneration and BartModel"),
        ({"normalize_before": True}, "normalize_before is True"),
        ({"static_position_embeddings": True}, "static_position_embeddings is True"),
        ({"extra_pos_embeddings": 0}, "extra_pos_embeddings is 0"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm is True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder is False"),
        ({"num_hidden_layers": 5}, "num_hidden_layers is 5, but encoder_layers is 2"),
        ({"activation_function": "tanh"}, "activation_function is 'tanh'"),
        ({"relative_attention": 4}, "relative_attention is 4, which is not a known setting of bart models"),
        ({"decoder_start_token_id": "x"}, "decoder_start_token_id is 'x'"),
        ({"decoder_start_token_id": 300}, r"start_id must be a token below vocab_size \(300\), got 300"),
        ({"encoder_layers": ...}, "encoder_layers is missing"),
        ({"encoder_attention_heads": 5}, r"d_model \(32\) is not a multiple of encoder_attention_heads \(5\)"),
        ({"decoder_ffn_dim": 41}, r"fc1.* has shape \[40.*configuration says \[41"),
        ({"max_position_embeddings": 60}, r"embed_positions.weight has shape \[66, 32\], but .* \[62, 32\]"),
    ],
)
def test_what_would_compute_something_else_is_refused_by_its_key(
    changes: dict[str, Any], message: str, reference: tuple[Any, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in reference[1].iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "config.json").unlink()
    (folder / "config.json").write_text((reference[1] / "config.json").read_text())
    _rewrite(folder / "config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        _load(folder)


def test_embeddings_that_differ_and_tensors_of_other_models_are_refused(
    reference: tuple[Any, Path], tmp_path: Path
) -> None:
    tensors = load_file(reference[1] / "model.safetensors")
    shared = tensors["model.shared.weight"]
    for name, tensor, message in (
        ("lm_head.weight", shared.flip(0).contiguous(), "lm_head.weight differs from model.shared.weight"),
        (
            "model.decoder.layer_norm.weight",
            torch.ones(32),
            "model.decoder.layer_norm.weight is not part of a plain bart",
        ),
    ):
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            (tmp_path / file).write_text((reference[1] / file).read_text())
        save_file({**tensors, name: tensor}, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=message):
            _load(tmp_path)


def test_each_loader_names_the_other(reference: tuple[Any, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"an encoder-decoder: .*burnish\.load_encoder_decoder reads it"):
        burnish.load(reference[1])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"burnish\.load reads decoders"):
        burnish.load_encoder_decoder(tmp_path)


def test_each_loader_names_the_other_for_folders_of_our_own(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    side = replace(BARTLIKE, norm="batch")
    burnish.save_encoder_decoder(
        EncoderDecoder(EncoderDecoderConfig.alike(side, start_id=2)), tiny_tokenizer, tmp_path / "pair"
    )
    with pytest.raises(CheckpointError, match=r"it is an encoder-decoder: .*burnish\.load_encoder_decoder reads it"):
        burnish.load(tmp_path / "pair")
    burnish.save(burnish.Decoder(side), tiny_tokenizer, tmp_path / "decoder")
    with pytest.raises(CheckpointError, match=r"it is a decoder: .*burnish\.load reads it"):
        burnish.load_encoder_decoder(tmp_path / "decoder")
    _rewrite(tmp_path / "pair" / "burnish.json", encoder_decoder={"start_id": 2})
    with pytest.raises(CheckpointError, match=r"burnish\.json: encoder_decoder\.encoder: Field required"):
        burnish.load_encoder_decoder(tmp_path / "pair")


BARTLIKE = DecoderConfig(
    vocab_size=300, d_model=32, n_layers=1, n_heads=4, n_kv_heads=4, head_dim=8, d_ff=48, max_positions=64,
    positions="learned", norm="layer", norm_placement="post", embedding_norm=True, activation="gelu", gated=False,
    qkv_bias=True, attention_bias=True, feed_forward_bias=True,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "own", "message"),
    [
        ({"norm": "batch", "norm_placement": "pre"}, {}, "has no norm 'batch' of the encoder"),
        ({"n_kv_heads": 2}, {}, "has no n_kv_heads 2 of the encoder"),
        ({}, {"cross_kv_heads": 1}, "has no cross_kv_heads 1"),
        ({"norm": "rms"}, {}, "has no norm 'rms' of the encoder"),
        ({"positions": "rotary"}, {}, "has no positions 'rotary' of the encoder"),
        ({}, {"share_embedding": False}, "has no share_embedding False"),
        ({}, {"encoder": {"max_positions": 32}}, "has no max_positions 32 of the encoder"),
    ],
)
def test_a_setting_that_bart_has_not_is_named(
    changes: dict[str, Any], own: dict[str, Any], message: str, tiny_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = EncoderDecoder(EncoderDecoderConfig.alike(replace(BARTLIKE, **changes), start_id=2, **own))
    with pytest.raises(CheckpointError, match=message):
        encoder_decoder.write(model, tiny_tokenizer, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    burnish.save_encoder_decoder(model, tiny_tokenizer, tmp_path / "model")
    again = _load(tmp_path / "model")
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_a_model_of_our_own_that_is_a_bart_is_saved_as_one(tiny_tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = EncoderDecoder(EncoderDecoderConfig.alike(BARTLIKE, start_id=2, encoder={"n_layers": 2})).eval()
    burnish.save_encoder_decoder(model, tiny_tokenizer, tmp_path / "model", card="A model.")
    assert (tmp_path / "model" / "README.md").read_text() == "A model."
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "model", attn_implementation="eager")
    _assert_computes_the_same(model, theirs.eval())
