"""`burnish plan`: work is what a run then computes, prices follow the work, and what cannot fit is refused."""

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from burnish import cli
from burnish.checkpoints.facts import count_parameters, read_config
from burnish.console.display import Display
from burnish.corpus.arrangement import Arrangement
from burnish.corpus.building import build_corpus, cleaning_steps, source_sizes
from burnish.corpus.documents import Document
from burnish.corpus.mixture import Mixture
from burnish.corpus.sketch import sketched
from burnish.corpus.token_corpus import TokenCorpus
from burnish.errors import BurnishError, RecipeError
from burnish.evaluation import rates
from burnish.evaluation.gpus import named_gpu, rates_on
from burnish.evaluation.rates import Rates
from burnish.kept import read_json, write_json
from burnish.methods.architecture import Architecture
from burnish.nn.actor_critic import ActorCritic, CriticKind, ReferencePolicy, make_critic
from burnish.nn.lora import LoraConfig, add_lora
from burnish.recipes.plan import estimate
from burnish.recipes.plan.dry_run import estimated
from burnish.recipes.plan.estimate import memory_of, seconds_of
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.plan.shapes import shapes
from burnish.recipes.plan.work import Work
from burnish.recipes.runner.running import run, works
from burnish.recipes.stages.ppo import PpoStage
from burnish.text.tokenizer_training import train_tokenizer
from burnish.training.events import read_events
from tiny_models import tiny_decoder
from workshop import SAME_BITS, make_workshop

TRAINING = "training: {epochs: 1.5, batch_size: 4, micro_batch_tokens: 256}"
RECIPE = f"""name: small{SAME_BITS}stages:
  - {{type: sft, data: train.jsonl, heldout: 0, {TRAINING}}}
  - {{type: dpo, pairs: pairs.jsonl, freeze_layers: 1, {TRAINING}}}
  - {{type: grpo, tasks: tasks.jsonl, rewards: [{{type: format}}], num_generations: 4, rollouts: 2, max_new_tokens: 6,
      training: {{batch_size: 2}}}}
  - {{type: compare, prompts: tasks.jsonl, models: {{sft: "@sft", dpo: "@dpo"}}, reference: base, max_new_tokens: 8}}
  - {{type: export}}
"""
RATES = Rates(3e-4, 3e-3, 1e-4, 1e-3, 2e-4, 2e-3, 1e-9, 1000.0, 500.0)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = make_workshop(tmp_path, RECIPE)
    asked = [{"prompt": f"{i} mod 3?"} for i in range(10)]
    rows: dict[str, list[dict[str, Any]]] = {
        "train": [row | {"completion": f"SELECT {i % 3}"} for i, row in enumerate(asked)],
        "pairs": [row | {"chosen": "SELECT 1", "rejected": f"SELECT {'2' * i}2"} for i, row in enumerate(asked)],
        "tasks": asked,
    }
    for name, of_file in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_file))
    return file


def test_the_work_is_what_a_run_computes(recipe: Path) -> None:
    runs = recipe.parent / "runs"
    counted = {stage.name: work for stage, work in works(make_plan(recipe, runs=runs))}
    run(recipe, runs=runs, display=Display(quiet=True))
    for name, folder in (("sft", "01-sft"), ("dpo", "02-dpo")):
        work, events = counted[name], read_events(runs / "small" / folder)
        assert work is not None
        assert work.steps == len(events)
        assert work.trained == pytest.approx(sum(event["tokens"] for event in events), rel=0.02)
    assert counted["dpo"] is not None
    assert (counted["dpo"].layers, counted["dpo"].weights) == (0.5, 0.5)
    grpo, compare = counted["grpo"], counted["compare"]
    assert grpo is not None
    assert compare is not None
    assert grpo.steps == len(read_events(runs / "small" / "03-grpo"))
    assert grpo.decoded == 2 * 2 * 4 * 6, "rollouts, prompts, answers, tokens at most"
    assert compare.decoded == 2 * 10 * 8, "models, prompts, tokens at most"
    assert works(make_plan(recipe, runs=runs)) == [], "what is done takes nothing"


OTHERS = f"""name: small{SAME_BITS}stages:
  - {{type: corpus, documents: [documents.jsonl], window: 32, heldout: 0.2}}
  - {{type: cpt, corpus: "@corpus", replay: 0, {TRAINING}}}
  - {{type: kto, data: judged.jsonl, heldout: 2, {TRAINING}}}
  - {{type: reward_model, pairs: pairs.jsonl, heldout: 3, {TRAINING}}}
  - {{type: ppo, model: base, tasks: tasks.jsonl, rewards: [{{type: format}}], critic: {{type: network}}, rollouts: 2,
      max_new_tokens: 6, num_mini_batches: 2, num_ppo_epochs: 2, training: {{batch_size: 3}}}}
"""


@pytest.mark.slow
def test_the_work_of_the_other_methods_is_what_a_run_computes(recipe: Path) -> None:
    rows: dict[str, list[dict[str, Any]]] = {
        "documents": [{"id": f"{i}", "text": f"SELECT {i} " * 12} for i in range(12)],
        "judged": [{"prompt": f"{i} mod 3?", "completion": "SELECT 1", "label": i % 2 == 0} for i in range(12)],
    }
    for name, of_file in rows.items():
        (recipe.parent / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_file))
    recipe.write_text(OTHERS)
    runs = recipe.parent / "runs"
    counted = {stage.name: work for stage, work in works(make_plan(recipe, runs=runs))}
    run(recipe, runs=runs, display=Display(quiet=True))
    again = works(make_plan(recipe, overrides=["cpt.training.eps=1e-7"], runs=runs))
    assert {stage.name: work for stage, work in again}["cpt"] == counted["cpt"], "before the corpus is made, and after"
    for number, name in enumerate(("cpt", "kto", "reward_model", "ppo"), start=2):
        work, events = counted[name], read_events(runs / "small" / f"{number:02}-{name}")
        assert work is not None
        assert work.steps == len(events), name
        read = sum(event["tokens"] for event in events)
        # Answers of the policy may end before they are as long as the plan takes them to be.
        assert 0.9 * work.trained <= read <= 1.02 * work.trained, name
    ppo = counted["ppo"]
    assert ppo is not None
    assert (ppo.networks, ppo.copies, ppo.weights) == (2, 2.0, 1.0), "a critic, and a reference"


RETOKENIZED = f"""name: small{SAME_BITS}stages:
  - {{type: extend_tokenizer, documents: [documents.jsonl], n_tokens: 7, min_count: 5}}
  - {{type: corpus, documents: [documents.jsonl], tokenizer: "@extend_tokenizer", window: 32, heldout: 0.2}}
  - {{type: cpt, corpus: "@corpus", replay: 0, {TRAINING}}}
  - {{type: perplexity, corpus: "@corpus", models: {{before: "@extend_tokenizer", after: "@cpt"}}}}
  - {{type: adapt_tokenizer, tokens: {{"<|sum|>": "SELECT 1"}}, chat_template: plain.jinja}}
  - {{type: sft, data: train.jsonl, {TRAINING}}}
  - {{type: evaluate, tasks: tasks.jsonl, models: {{sft: "@sft"}}, judges: [{{type: format}}], max_new_tokens: 4,
      apply_chat_template: false}}
  - {{type: forgetting, corpus: "@corpus", wordnet: null, models: {{before: "@extend_tokenizer", after: "@cpt"}}}}
"""
PLAIN = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ '<|im_end|>' if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def test_the_work_behind_another_tokenizer_is_counted_before_it_is_made(recipe: Path) -> None:
    folder = recipe.parent
    documents = [{"id": f"{i}", "text": f"SELECT {i} FROM numbers " * 12} for i in range(12)]
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (folder / "plain.jinja").write_text(PLAIN)
    recipe.write_text(RETOKENIZED)
    plan = make_plan(recipe, runs=folder / "runs")
    base, of_stage = read_config(folder / "model"), shapes(plan)
    grown = [of_stage[name].vocab_size - base.vocab_size for name in ("extend_tokenizer", "cpt", "sft", "evaluate")]
    assert grown == [0, 7, 8, 8]
    counted = {stage.name: work for stage, work in works(plan)}
    run(recipe, runs=folder / "runs", display=Display(quiet=True))
    work = counted["cpt"]
    assert work is not None
    events = read_events(folder / "runs" / "small" / "03-cpt")
    assert work.trained > sum(event["tokens"] for event in events), "with the tokens of before there are more"
    assert len(events) <= work.steps <= 3 * len(events)
    work = counted["sft"]
    assert work is not None
    events = read_events(folder / "runs" / "small" / "06-sft")
    assert work.trained == pytest.approx(sum(event["tokens"] for event in events), rel=0.02), "the adapted one is known"
    texts = TokenCorpus.load(folder / "runs" / "small" / "02-corpus" / "corpus").heldout["domain"].n_tokens
    for name in ("perplexity", "forgetting"):
        work = counted[name]
        assert work is not None
        assert work.scored >= 2 * texts, name
    evaluate = counted["evaluate"]
    assert evaluate is not None
    assert evaluate.decoded == 10 * 4, "a prompt that is gone on with has its time too"


def test_a_corpus_of_other_tokens_is_refused_before_anything_runs(recipe: Path) -> None:
    (recipe.parent / "documents.jsonl").write_text(json.dumps({"text": "SELECT 1 FROM numbers " * 12}) + "\n")
    (recipe.parent / "plain.jinja").write_text(PLAIN)
    recipe.write_text(RETOKENIZED + "  - {type: cpt, name: later, model: '@sft', corpus: '@corpus'}\n")
    make_plan(recipe, overrides=['later.model="@cpt"'])
    with pytest.raises(RecipeError, match=r"stages\[8\].corpus: got '@corpus', made of other tokens.*adapt_tokenizer"):
        make_plan(recipe)
    with pytest.raises(RecipeError, match=r"perplexity.corpus.*'base'.*'@extend_tokenizer'|stages\[3\].corpus"):
        make_plan(recipe, overrides=['later.model="@cpt"', "perplexity.models={before: base}"])


@pytest.mark.parametrize("order", ["chance", "length", "related"])
def test_a_large_corpus_is_counted_on_a_part_of_it(order: str, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["so many words of some length " * 9], vocab_size=300)
    groups = {
        name: [
            Document(f"{name} {i}", f"{name} {i}: " + "so many words of some length " * (1 + i % 7), source=f"{i % 3}")
            for i in range(300)
        ]
        for name in ("domain", "general")
    }
    settings: dict[str, Any] = {
        "window": 64,
        "heldout_fraction": 0.1,
        "steps": cleaning_steps(),
        "mixture": Mixture.model_validate({"weights": {"0": 2.0, "1": 1.0, "2": 1.0}}),
        "arrangement": Arrangement.model_validate({"by": order}),
    }
    whole, _ = build_corpus(groups, tokenizer, tmp_path / "corpus", **settings)
    same = sketched(groups, tokenizer, **settings)
    part = sketched(groups, tokenizer, **settings, characters=20_000)
    for group in groups:
        for split in ("train", "heldout"):
            windows, of_same, of_part = (getattr(one, split)[group] for one in (whole, same, part))
            assert of_same.n_tokens == windows.n_tokens
            assert len(of_same) == len(windows)
            assert of_part.n_tokens == pytest.approx(windows.n_tokens, rel=0.25)
            assert split == "heldout" or len(of_part) == pytest.approx(len(windows), rel=0.25)
        sizes = source_sizes(part.train[group])
        assert sizes == pytest.approx(source_sizes(whole.train[group]), rel=0.35)


@pytest.mark.parametrize(("kind", "lora"), [("head", False), ("network", False), ("network", True)])
def test_the_memory_of_ppo_is_that_of_its_tensors(kind: CriticKind, lora: bool) -> None:
    actor = tiny_decoder(d_model=64, d_ff=256, vocab_size=300)
    n = sum(parameter.numel() for parameter in actor.parameters())
    settings: dict[str, Any] = {"tasks": "t", "rewards": [{"type": "format"}], "critic": {"type": kind}}
    if lora:
        settings["lora"] = {"rank": 1}
        add_lora(actor, LoraConfig(rank=1), seed=0)
    stage = PpoStage.model_validate(settings)
    model, reference = ActorCritic(actor, make_critic(actor, kind), kl_coef=0.1), ReferencePolicy(actor)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.AdamW(trained)
    optimizer.step()
    with reference.decoder() as frozen:
        held = [*model.parameters(), *frozen.parameters(), *(p.grad for p in trained if p.grad is not None)]
    held += [state[moment] for state in optimizer.state.values() for moment in ("exp_avg", "exp_avg_sq")]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    share = sum(parameter.numel() for parameter in trained) / n / stage.networks
    work = Work(trained=1, weights=share, networks=stage.networks, copies=stage.held_beside(share))
    planned = memory_of(work, RATES, actor.config, n) - estimate.PROGRAM_BYTES
    assert planned == pytest.approx(sum(storages.values()), rel=0.03)


PAIRS = Architecture.model_validate(
    {"preset": "transformer", "d_model": 32, "n_layers": 2, "encoder_layers": 4, "n_heads": 4}
)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_a_pairs_token_keeps_in_the_layers_of_both_networks_what_was_measured_in_few(share: float) -> None:
    """What training keeps of a model of any depths follows from three shallow ones, at every share of the source."""
    shape = PAIRS.encoder_decoder(300, window=128, start_id=0)
    cpu = torch.device("cpu")
    found = rates._measure_pairs(shape, share, cpu, torch.float32)
    whole = rates._Probe.of_pairs(shape, share, cpu, torch.float32)
    assert found.kept_layer * (4 + 2) + found.kept_head == pytest.approx(whole.kept(), rel=0.02)
    assert all(value > 0 for value in (found.kept_layer, found.kept_head, found.update, found.train_layer))
    written = round(rates.TOKENS // rates.SEQUENCES * (1 - share)) * rates.SEQUENCES
    assert whole.tokens == written, "of a target, its first one included"


def test_the_memory_of_pairs_is_that_of_the_weights_and_what_a_micro_batch_keeps() -> None:
    shape = PAIRS.encoder_decoder(300, window=128, start_id=0)
    n = count_parameters(shape)
    work = Work(steps=1, trained=100, micro_batch=64, sources=2.0)
    planned = memory_of(work, RATES, shape, n) - estimate.PROGRAM_BYTES
    assert planned == pytest.approx(4 * 4.0 * n + 64 * (6 * 1000.0 + 500.0))
    assert seconds_of(work, RATES, shape, n) == pytest.approx(100 * (6 * 3e-4 + 3e-3) + n * 1e-9)
    decoding = memory_of(Work(decoded=1, rows=3, longest=10), RATES, shape, n) - estimate.PROGRAM_BYTES
    keys_and_values = 2 * 2 * shape.decoder.n_kv_heads * shape.decoder.head_dim * 4
    assert decoding == pytest.approx(2 * 4.0 * n + 3 * 10 * keys_and_values)


def test_rates_of_pairs_are_measured_for_each_share_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shares: list[float] = []

    def measure(_: Any, share: float, *__: Any) -> Rates:
        shares.append(share)
        return RATES

    monkeypatch.setattr(rates, "_measure_pairs", measure)
    shape = PAIRS.encoder_decoder(300, window=128, start_id=0)
    for sources in (1.0, 1.02, 3.0, 0.0, 1e9, 1.0):
        rates.measured(shape, "cpu", "float32", 1, sources=sources)
    assert shares == [0.5, 0.75, 0.05, 0.95]


JUDGES: dict[str, list[dict[str, Any]]] = {
    "reward_model": [{"type": "reward_model", "model": "@reward_model"}],
    "implicit_reward": [{"type": "implicit_reward", "model": "@dpo", "reference": "base"}],
    "both": [
        {"type": "format"},
        {"type": "reward_model", "model": "@reward_model"},
        {"type": "implicit_reward", "model": "@dpo", "reference": "base"},
    ],
}


@pytest.mark.parametrize(("judges", "models"), [("reward_model", 1), ("implicit_reward", 2), ("both", 3)])
def test_the_models_of_judges_are_in_the_memory_and_the_time(judges: str, models: int, recipe: Path) -> None:
    asked: dict[str, Any] = {"tasks": "tasks.jsonl", "model": "base", "max_new_tokens": 6}
    rollouts = {**asked, "num_generations": 4, "rollouts": 2, "training": {"batch_size": 2}}
    stages: list[dict[str, Any]] = [
        {"type": "dpo", "pairs": "pairs.jsonl"},
        {"type": "reward_model", "pairs": "pairs.jsonl", "heldout": 3},
        {"type": "sample", "samples": 4, **asked},
        {"type": "grpo", "eval_tasks": "tasks.jsonl", **rollouts},
    ]

    def counted(rules: list[dict[str, Any]]) -> dict[str, Work | None]:
        judged = {"sample": {"judges": rules}, "grpo": {"rewards": rules}}
        written = {
            "name": "small",
            "model": "model",
            "device": "cpu",
            "compute_dtype": "float32",
            "stages": [stage | judged.get(stage["type"], {}) for stage in stages],
        }
        recipe.write_text(json.dumps(written))
        return {stage.name: work for stage, work in works(make_plan(recipe, runs=recipe.parent / "runs"))}

    n = count_parameters(read_config(recipe.parent / "model"))
    without, found = counted([{"type": "format"}]), counted(JUDGES[judges])
    for name in ("sample", "grpo"):
        plain, work = without[name], found[name]
        assert plain is not None
        assert work is not None
        assert (plain.beside, work.beside) == (0, models * n), name
        assert work.scored > plain.scored
        assert replace(work, beside=0, scored=plain.scored) == plain
    sample = without["sample"]
    assert sample is not None
    assert found["sample"] == replace(
        sample, beside=models * n, scored=sample.scored + models * (sample.scored + sample.decoded)
    ), "each reads every prompt and every answer once"


def test_prices_follow_the_work(recipe: Path) -> None:
    model = read_config(recipe.parent / "model")
    one = Work(steps=1, trained=100, micro_batch=64)
    base = seconds_of(one, RATES, model, 1000)
    assert base == pytest.approx(100 * (2 * 3e-4 + 3e-3) + 1e-6)
    assert seconds_of(replace(one, trained=200, steps=2), RATES, model, 1000) == pytest.approx(2 * base)
    frozen = seconds_of(replace(one, layers=0.5), RATES, model, 1000)
    assert base - frozen == pytest.approx(100 * (3e-4 - 1e-4)), "one of two layers without its backward pass"
    assert seconds_of(Work(decoded=10), RATES, model, 1000) == pytest.approx(10 * (2 * 2e-4 + 2e-3))
    weights = 4.0 * 1000
    kept = 64 * (2 * 1000.0 + 500.0)
    assert memory_of(one, RATES, model, 1000) - estimate.PROGRAM_BYTES == pytest.approx(4 * weights + kept)
    assert memory_of(Work(), RATES, model, 1000) - estimate.PROGRAM_BYTES == pytest.approx(weights)


CHOSEN = f"""name: small{SAME_BITS}stages:
  - {{type: index, documents: [docs], size: 16, overlap: 0}}
  - {{type: evaluate, tasks: choices.jsonl, models: {{base: base}}, judges: [{{type: choice}}],
      retrieval: {{index: "@index", passage_tokens: 40}}}}
"""


def test_options_are_scored_and_passages_are_read_by_every_model(recipe: Path) -> None:
    folder = recipe.parent
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# Numbers\n\n0 1 2 3\n")
    rows = [{"prompt": f"{i} mod 3?", "choices": ["0", "1"], "answer": "A"} for i in range(6)]
    (folder / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe.write_text(CHOSEN)
    run(recipe, runs=folder / "runs", display=Display(quiet=True))
    counted = {stage.name: work for stage, work in works(make_plan(recipe, runs=folder / "runs"), "evaluate")}
    with_passages = counted["evaluate"]
    recipe.write_text(CHOSEN.partition(",\n      retrieval")[0] + "}\n")
    plan = make_plan(recipe, runs=folder / "runs")
    alone = {stage.name: work for stage, work in works(plan)}["evaluate"]
    assert with_passages is not None
    assert alone is not None
    assert with_passages.decoded == alone.decoded == 0, "nothing is written"
    assert with_passages.scored == 2 * alone.scored + 6 * 40


def test_a_gpu_is_planned_for_by_its_figures(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "measured", lambda *_, **__: RATES)
    plan = make_plan(recipe, runs=recipe.parent / "runs")
    here, there = estimated(plan), estimated(plan, gpu="rtx 4090")
    assert [stage["work"] for stage in here["stages"]] == [stage["work"] for stage in there["stages"]]
    assert any("one RTX4090 by its data sheet" in note for note in there["notes"])
    assert there["stages"][0]["seconds"] != here["stages"][0]["seconds"]
    with pytest.raises(BurnishError, match="--gpu: got 'TPU'"):
        estimated(plan, gpu="TPU")


def test_on_a_gpu_a_source_passes_through_the_encoder_and_is_not_read_again_in_decoding() -> None:
    shape, gpu = PAIRS.encoder_decoder(300, window=128, start_id=0), named_gpu("H100")

    def rates_at(sources: float) -> Rates:
        return rates_on(gpu, shape, RATES, parameters=count_parameters(shape), rows=8, sources=sources)

    without, double = rates_at(0.0), rates_at(2.0)
    assert double.train_layer == pytest.approx(without.train_layer * (4 * 2 + 2) / 2), "four layers read, two write"
    assert double.decode_layer == without.decode_layer > 0


def test_what_cannot_fit_is_refused(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=150_000))
    with pytest.raises(BurnishError, match=r"stage sft: the weights, gradients and moments of [\d,]+ parameters"):
        estimated(make_plan(recipe, runs=recipe.parent / "runs"))


def test_rates_are_measured_once(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    measure = rates._measure

    def counted(*arguments: Any) -> Rates:
        measured.append(1)
        return measure(*arguments)

    monkeypatch.setattr(rates, "_measure", counted)
    monkeypatch.setattr(rates, "_load", lambda: 0.0)  # a busy machine that gets less busy is measured again
    plan = make_plan(recipe, runs=recipe.parent / "runs")
    first = estimated(plan)
    assert estimated(plan) == first
    assert measured == [1]
    assert all(stage["seconds"] >= 0 and stage["memory_gib"] > 0 for stage in first["stages"])
    assert first["total"]["seconds"] == pytest.approx(sum(stage["seconds"] for stage in first["stages"]), abs=0.5)


def test_rates_are_measured_again_where_the_machine_was_busy_or_they_are_old(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Rates] = []

    def measure(*_: Any) -> Rates:
        measured.append(replace(RATES, train_head=len(measured) + 1.0))
        return measured[-1]

    load = [4.0]
    monkeypatch.setattr(rates, "_measure", measure)
    monkeypatch.setattr(rates, "_load", lambda: load[0])
    plan = make_plan(recipe, runs=recipe.parent / "runs")
    model = read_config(plan.model)
    # The machine's load, and how often it has been measured then: again only once it is much less busy than it was.
    for now, expected in ((4.0, 1), (3.0, 1), (9.0, 1), (1.0, 2), (0.6, 2), (0.4, 3), (0.0, 3), (9.0, 3)):
        load[0] = now
        assert rates.measured(model, "cpu", "float32", 1) == measured[-1]
        assert len(measured) == expected, now
    file = rates.cache_folder() / "rates.json"
    kept = read_json(file, owner="rates")
    ((key, entry),) = kept.items()
    at = entry["at"]
    for other in ({"at": at - 8 * 24 * 3600}, {"at": at + 3600}, {"load": None}):
        write_json(file, {"another": {}, key: entry | other}, owner="rates")
        n_before = len(measured)
        rates.measured(model, "cpu", "float32", 1)
        assert len(measured) == n_before + 1, other
    write_json(file, {key: entry["rates"]}, owner="rates")  # as they were kept before, without a date
    assert rates.measured(model, "cpu", "float32", 1) == measured[-1]
    assert len(measured) == 7


def test_the_command(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = recipe.read_text().replace("stages:\n", "stages:\n  - {type: prepare, script: prepare.py}\n")
    text += '  - {type: sft, name: later, data: "@prepare/train.jsonl"}\n'
    recipe.write_text(text)
    shown = []
    for options in ([], ["--json"]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                sys, "argv", ["burnish", "plan", str(recipe), "--runs", str(recipe.parent / "runs"), *options]
            )
            patch.setenv("COLUMNS", "160")
            with suppress(SystemExit):
                cli.main()
        shown.append(capsys.readouterr().out)
    table, found = shown[0], json.loads(shown[1])
    for part in ("tokens trained", "over ", "not checked yet: later: @prepare/train.jsonl", "prepare.py"):
        assert part in table
    assert found["total"]["unknown"] == ["prepare", "later"]
    assert not (recipe.parent / "runs").exists()
