"""From documents alone to a model that chats: a tokenizer trained on them, a new architecture, and all that follows."""

import json
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from test_kill import products, run_and_kill, run_to_the_end, server, steps_done  # noqa: F401 (a fixture)

import burnish
from burnish.checkpoints.families import family_for
from burnish.console.chat import find_target
from burnish.console.conversation import Chat
from burnish.errors import BurnishError, RecipeError
from burnish.generation.sampling import Sampling
from burnish.recipes.plan.dry_run import describe, estimated
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.shapes import shapes
from burnish.recipes.runner.running import run
from burnish.recipes.stages.corpus import CorpusStage
from workshop import make_workshop

HEAD = """\
name: numbers
seed: 3
device: cpu
compute_dtype: float32
threads: 1
keep: all
"""
PRETRAIN = """\
stages:
  - type: corpus
    documents: [documents]
    window: 48
    heldout: 0.2
    tokenizer:
      vocab_size: 300
  - type: pretrain
    corpus: "@corpus"
    architecture:
      preset: deepnorm
      d_model: 16
      n_layers: 2
      n_heads: 4
      n_kv_heads: 2
      norm: batch
    training: {batch_size: 4, epochs: 1, micro_batch_tokens: 128, checkpoint_seconds: 0}
"""
RECIPE = HEAD + PRETRAIN
AFTER = """\
  - type: sft
    data: chats.jsonl
    heldout: 0
    training: {learning_rate: 1e-3, batch_size: 8, micro_batch_tokens: 512}
  - type: perplexity
    corpus: "@corpus"
    models: {new: "@pretrain", chat: "@sft"}
"""
LLAMA = "architecture: {d_model: 16, n_layers: 1, n_heads: 2}"
OWN = RECIPE[RECIPE.index("architecture:") : RECIPE.index("    training: {batch_size: 4")]


def workshop(folder: Path, recipe: str = RECIPE) -> Path:
    """A folder with a recipe, documents and chats, and no model."""
    folder.mkdir(exist_ok=True)
    documents = folder / "documents"
    documents.mkdir()
    for i in range(10):
        (documents / f"{i}.md").write_text("".join(f"{i} plus {j} is {i + j}.\n\n" for j in range(8)))
    chats = [[{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"{i + 1}"}] for i in range(8)]
    (folder / "chats.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    (folder / "recipe.yaml").write_text(recipe)
    return folder / "recipe.yaml"


def done(recipe: Path, *overrides: str) -> dict[str, Any]:
    return run(recipe, overrides=overrides, runs=recipe.parent / "runs")


def test_all_that_follows_works_on_a_folder_of_burnishs_own(tmp_path: Path) -> None:
    recipe = workshop(tmp_path, (RECIPE + AFTER).replace("norm: batch", "norm: batch\n      max_positions: 128"))
    summary = done(recipe)
    measured = summary["perplexity"]["domain"]
    assert measured["after"] < measured["before"]
    assert summary["perplexity_by_model"]["domain"]["new"] == pytest.approx(measured["after"], rel=1e-6)
    assert summary["model"] is None
    folder = tmp_path / "runs" / "numbers"
    metrics = json.loads((folder / "02-pretrain" / "stage.json").read_text())["metrics"]
    for name in ("02-pretrain", "03-sft"):
        model, tokenizer = burnish.load(folder / name / "model", compute_dtype="float32", device="cpu")
        assert not (folder / name / "model" / "config.json").exists()
        assert (model.config.norm, model.config.norm_placement, model.config.n_kv_heads) == ("batch", "deepnorm", 2)
        assert model.config.max_positions == tokenizer.context_length == 128
    assert summary["n_parameters"] == metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert any(buffer.abs().sum() for name, buffer in model.named_buffers() if name.endswith("running_mean"))
    target = find_target(folder)
    assert target.model == folder / "03-sft" / "model"
    chat = Chat(model, tokenizer, sampling=Sampling(temperature=0.0, max_new_tokens=3))
    assert "".join(chat.ask("2?"))
    page = (folder / "report.html").read_text()
    assert "random weights" in page
    assert all(stage["cached"] for stage in done(recipe)["stages"])


@pytest.mark.slow
def test_the_tokenizer_of_the_folder_is_transformers_own(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    done(workshop(tmp_path))
    folder = tmp_path / "runs" / "numbers"
    _, tokenizer = burnish.load(folder / "02-pretrain" / "model", compute_dtype="float32", device="cpu")
    for place in (folder / "02-pretrain" / "model", folder / "01-corpus" / "corpus" / "tokenizer"):
        theirs = transformers.AutoTokenizer.from_pretrained(place)
        text = "3 plus 14 is 17, naïve."
        assert theirs(text, add_special_tokens=False).input_ids == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text
        asked = theirs.apply_chat_template([{"role": "user", "content": "2?"}], tokenize=False)
        assert asked == "<|im_start|>user\n2?<|im_end|>\n"


@pytest.mark.slow
def test_what_a_family_can_hold_is_exported_with_a_card_that_says_where_it_came_from(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export = "  - type: export\n    gguf: [F16]\n"
    done(workshop(tmp_path, RECIPE.replace(OWN, LLAMA + "\n") + export))
    folder = tmp_path / "runs" / "numbers" / "03-export"
    ours, tokenizer = burnish.load(folder / "model", compute_dtype="float32", device="cpu")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    ids = tokenizer.encode("3 plus 4 is")
    with torch.no_grad():
        logits = theirs(torch.tensor([ids])).logits[0]
        from burnish.forest import Forest

        expected = ours.output_projection(ours(Forest.from_segments([(ids, -1)])))
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-5)
    card = (folder / "model" / "README.md").read_text()
    assert "from random weights, seed 3" in card
    assert "Yours to choose" in card
    assert "base_model" not in card
    assert (folder / "numbers-F16.gguf").exists()


@pytest.mark.parametrize("preset", ["llama", "qwen3", "olmo2", "gpt2"])
def test_presets_are_saved_as_the_families_that_they_are_named_after(preset: str, tmp_path: Path) -> None:
    recipe = workshop(tmp_path)
    plan = make_plan(recipe, overrides=[f"pretrain.architecture={{preset: {preset}, n_heads: 4}}"], runs=tmp_path)
    assert family_for(shapes(plan)["pretrain"]).model_type == preset


def test_an_existing_tokenizer_is_the_model_s(tmp_path: Path) -> None:
    """Of a model's folder: with a chat template of its own, and tokens that end a turn."""
    make_workshop(tmp_path)
    recipe = workshop(tmp_path, RECIPE.replace("tokenizer:\n      vocab_size: 300", "tokenizer: model"))
    plan = make_plan(recipe, runs=tmp_path / "runs")
    known = burnish.load(tmp_path / "model", compute_dtype="float32", device="cpu")[1]
    assert shapes(plan)["pretrain"].vocab_size == known.vocab_size
    assert plan.origins(plan.stages[1]) == {}
    done(recipe)
    _, tokenizer = burnish.load(
        tmp_path / "runs" / "numbers" / "02-pretrain" / "model", compute_dtype="float32", device="cpu"
    )
    assert tokenizer.backend.to_str() == known.backend.to_str()
    assert (tokenizer.stop_ids, tokenizer.chat_template) == (known.stop_ids, known.chat_template)


@pytest.mark.slow
def test_a_plan_knows_the_shape_before_there_is_a_model(tmp_path: Path) -> None:
    recipe = workshop(tmp_path, RECIPE + AFTER)
    plan = make_plan(recipe, runs=tmp_path / "runs")
    found = describe(plan)
    assert [stage["state"] for stage in found["stages"]] == ["run"] * 4
    of_stage = shapes(plan)
    assert of_stage["sft"] == of_stage["pretrain"]
    assert (of_stage["pretrain"].vocab_size, of_stage["pretrain"].max_positions) == (300, 48)
    done(recipe)
    changed = make_plan(recipe, overrides=["pretrain.training.epochs=2000"], runs=tmp_path / "runs")
    priced = {stage["name"]: stage for stage in estimated(changed)["stages"]}
    assert priced["pretrain"]["work"]["trained"] > 0
    assert priced["pretrain"]["seconds"] > 0


EVERYWHERE = "tokenizer:\n      vocab_size: 300"
BAD: dict[str, tuple[str, str, list[str]]] = {
    "misspelt key": ("n_heads: 4", "n_head: 4", ["recipe.yaml:20: stages[1].architecture.n_head", "mean 'n_heads'?"]),
    "unknown norm": (
        "norm: batch",
        "norm: batchnorm",
        ["recipe.yaml:22", "architecture.norm: got 'batchnorm'", "'batch'"],
    ),
    "unknown preset": ("preset: deepnorm", "preset: lama", ["recipe.yaml:17", "got 'lama'", "did you mean 'llama'?"]),
    "heads that do not share": (
        "n_kv_heads: 2",
        "n_kv_heads: 3",
        ["recipe.yaml:20", "must be a multiple of n_kv_heads"],
    ),
    "heads that do not fill": (
        "d_model: 16",
        "d_model: 18",
        ["recipe.yaml:20", "n_heads (4) must divide d_model (18)"],
    ),
    "a layer that is not there": (
        "norm: batch",
        "norm: batch\n      unrotated_layers: [2]",
        ["recipe.yaml:23", "unrotated_layers ([2]) must be of the layers 0 to 1"],
    ),
    "norms that contradict": (
        "norm: batch",
        "norm: weight\n      norm_placement: post",
        ["recipe.yaml:22", "norm 'weight' normalizes no activations"],
    ),
    "a width in quotes": ("d_model: 16", 'd_model: "16"', ["recipe.yaml:18", "expected a whole number"]),
    "scaling without a kind": (
        "norm: batch",
        "norm: batch\n      rope_scaling: {factor: 2}",
        ["recipe.yaml:23", "missing key 'kind'"],
    ),
    "positions that end early": (
        "norm: batch",
        "positions: learned\n      max_positions: 32",
        ["recipe.yaml:23", "got 32; the corpus has sequences of up to 48 tokens"],
    ),
    "a small vocabulary": (
        "vocab_size: 300",
        "vocab_size: 100",
        ["recipe.yaml:13", "expected at least 260: 256 bytes"],
    ),
    "a misspelt key of the tokenizer": (
        "vocab_size: 300",
        "vocab: 300",
        ["recipe.yaml:13: stages[0].tokenizer.vocab: unknown key", "vocab_size"],
    ),
    "a control token twice": (
        "vocab_size: 300",
        "special_tokens: [<|im_end|>]",
        ["recipe.yaml:13", "got '<|im_end|>' is there already"],
    ),
    "a template that is not there": (
        "vocab_size: 300",
        "chat_template: mine.jinja",
        ["recipe.yaml:13", "got 'mine.jinja'; no such file"],
    ),
    "a number as tokenizer": (EVERYWHERE, "tokenizer: 300", ["recipe.yaml:12", "tokenizer: got 300; expected text"]),
    "no tokenizer": ("    " + EVERYWHERE + "\n", "", ["stages[0].tokenizer: got 'base'", "{vocab_size: 8192}"]),
    "a base that is not there": (
        '    corpus: "@corpus"\n    architecture',
        "    corpus: base\n    architecture",
        ["recipe.yaml:15: stages[1].corpus: got 'base'; no such file"],
    ),
    "adapters": ("    training: {batch", "    lora: {}\n    training: {batch", ["recipe.yaml:23", "lora: unknown key"]),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said_with_its_line(name: str, tmp_path: Path) -> None:
    old, new, said = BAD[name]
    assert old in RECIPE
    recipe = workshop(tmp_path, RECIPE.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        make_plan(recipe, runs=tmp_path / "runs")
    for text in said:
        assert text in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (RECIPE.replace("    " + OWN, "").replace("type: pretrain", "type: cpt"), "missing key 'model'"),
        (RECIPE + "  - type: perplexity\n    corpus: '@corpus'\n    models: {a: base}\n", "got 'base', the recipe's"),
    ],
)
def test_a_recipe_without_a_model_has_to_make_one(recipe: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        make_plan(workshop(tmp_path, recipe), runs=tmp_path / "runs")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("  - type: export\n", "export.model: got a model of Burnish's own format"),
        ("  - type: sft\n    data: chats.jsonl\n    lora: {rank: 2}\n", "sft.lora: got adapters"),
        (
            "  - type: sft\n    data: chats.jsonl\n    freeze_layers: 2\n",
            "freeze_layers: got 2; the model has 2 layers",
        ),
    ],
)
def test_what_a_folder_of_burnishs_own_cannot_become_is_refused_before_anything_runs(
    stage: str, said: str, tmp_path: Path
) -> None:
    recipe = workshop(tmp_path, RECIPE + stage)
    with pytest.raises(BurnishError) as caught:
        done(recipe)
    assert said in str(caught.value)
    assert not list((tmp_path / "runs").glob("numbers/01-corpus/corpus"))


@pytest.mark.parametrize(
    ("template", "said"),
    [("{% for m in messages %}{{ m.content }}|{% endfor %}", "mine.jinja"), ("{% for m in messages %}", "mine.jinja")],
)
def test_a_chat_template_that_ends_no_turn_is_refused_before_anything_runs(
    template: str, said: str, tmp_path: Path
) -> None:
    recipe = workshop(tmp_path, RECIPE.replace("vocab_size: 300", "chat_template: mine.jinja"))
    (tmp_path / "mine.jinja").write_text(template)
    with pytest.raises(BurnishError) as caught:
        done(recipe)
    assert said in str(caught.value)


def test_a_chat_template_of_ones_own_and_its_date_are_in_the_key(tmp_path: Path) -> None:
    recipe = workshop(tmp_path, RECIPE.replace("vocab_size: 300", "chat_template: mine.jinja"))
    file = tmp_path / "mine.jinja"
    keys = []
    for text in ("one", "two", "{{ strftime_now('%d') }}"):
        file.write_text(text)
        plan = make_plan(recipe, runs=tmp_path / "runs")
        keys.append(plan.stages[1].key)
        assert ("today" in plan.stages[1].identity) == ("strftime" in text)
    assert len({*keys}) == 3


def test_no_chat_template_is_none() -> None:
    stage = CorpusStage.model_validate({"documents": ["a"], "tokenizer": {"vocab_size": 300, "chat_template": "none"}})
    assert not isinstance(stage.tokenizer, str)
    assert stage.tokenizer.chat_template == "none"


@pytest.mark.slow
def test_the_recipe_that_ships_runs_in_small(tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "pretrain" / "recipe.yaml"
    workshop(tmp_path)
    small = {
        "corpus.documents": f"[{tmp_path / 'documents'}]",
        "corpus.window": "32",
        "corpus.tokenizer.vocab_size": "300",
        "pretrain.architecture": "{d_model: 16, n_layers: 1, n_heads: 2}",
        "pretrain.training.epochs": "1",
        "pretrain.training.batch_size": "8",
    }
    summary = run(recipe, overrides=[f"{key}={value}" for key, value in small.items()], runs=tmp_path / "runs")
    assert summary["perplexity"]["domain"]["after"] < summary["perplexity"]["domain"]["before"]


def test_the_recipe_that_ships_reads_what_every_python_has(tmp_path: Path) -> None:
    plan = make_plan(Path(__file__).parents[2] / "recipes" / "pretrain" / "recipe.yaml", runs=tmp_path)
    assert list(plan.stages[0].identity["fingerprints"]) == ["stdlib"]
    assert family_for(shapes(plan)["pretrain"]).model_type == "llama"


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_to_the_same_bits(tmp_path: Path, server: ForkServerContext) -> None:  # noqa: F811
    recipe = RECIPE.replace("epochs: 1", "epochs: 3")
    whole, killed = (workshop(tmp_path / name, recipe) for name in ("whole", "killed"))
    run_to_the_end(whole, server)
    n_steps = steps_done(whole)
    assert n_steps >= 4
    assert run_and_kill(killed, server, step=n_steps // 2, delay=0.0)
    run_to_the_end(killed, server)
    assert products(killed) == products(whole)
    assert any("model.safetensors" in name for name in products(whole))
