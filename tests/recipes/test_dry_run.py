"""A dry run refuses what a later stage would refuse, says what it cannot know yet, and leaves nothing behind."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from burnish.errors import BurnishError
from burnish.recipes.plan.planned import make_plan
from burnish.recipes.runner.running import check, run
from burnish.recipes.schema.gold import FILE as GOLD_FILE
from burnish.recipes.schema.judges.python import GIVEN
from burnish.recipes.schema.python_files import load_function
from burnish.rewards.sql import SqlVerifier
from workshop import SAME_BITS, make_workshop

JUDGES = "[{type: sql, database: numbers.duckdb}]"
STAGES = {
    "sft": "{type: sft, data: train.jsonl}",
    "dpo": "{type: dpo, pairs: pairs.jsonl}",
    "kto": "{type: kto, data: labelled.jsonl}",
    "distill": "{type: distill, data: train.jsonl, teacher: base}",
    "reward_model": "{type: reward_model, pairs: pairs.jsonl}",
    "sample": f"{{type: sample, tasks: tasks.jsonl, judges: {JUDGES}}}",
    "evaluate": f"{{type: evaluate, tasks: tasks.jsonl, models: {{a: base}}, judges: {JUDGES}}}",
    "grpo": "{type: grpo, tasks: tasks.jsonl, rollouts: 1, rewards: [{type: sql, database: numbers.duckdb}]}",
    "python": "{type: grpo, tasks: tasks.jsonl, rollouts: 1, rewards: [{type: python, file: reward.py}]}",
    "compare": "{type: compare, prompts: tasks.jsonl, models: {a: base}, reference: base}",
}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dry")
    make_workshop(folder)
    with duckdb.connect(str(folder / "numbers.duckdb")) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range AS n FROM range(3)")
    return folder


def rows(folder: Path, **changed: dict[str, Any]) -> None:
    """Data for every stage; of one file the second row is changed."""
    asked = {"prompt": "1 mod 3?"}
    plain: dict[str, dict[str, Any]] = {
        "train": asked | {"completion": "SELECT 1"},
        "pairs": asked | {"chosen": "SELECT 1", "rejected": "SELECT 2"},
        "labelled": asked | {"completion": "SELECT 1", "label": True},
        "tasks": asked | {"sql": "SELECT 1"},
    }
    for name, row in plain.items():
        lines = [row, row | changed.get(name, {}), *[row] * 4]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "reward.py").write_text("def reward(prompt, completion, row): return 1.0\n")


def plan_of(folder: Path, *stages: str, model: str = "model") -> Any:
    listed = "".join(f"  - {stage}\n" for stage in stages)
    text = f"name: dry{SAME_BITS}".replace("model: model", f"model: {model}")
    (folder / "dry.yaml").write_text(f"{text}stages:\n{listed}")
    return make_plan(folder / "dry.yaml", runs=folder / "dry-runs")


def test_everything_fits(workshop: Path) -> None:
    rows(workshop)
    stages = [stage.replace("type", f"name: {name}, type", 1) for name, stage in STAGES.items()]
    assert check(plan_of(workshop, *stages)) == []
    assert not (workshop / "dry-runs").exists(), "a dry run leaves nothing behind"


@pytest.mark.parametrize(
    ("stage", "changed", "problem"),
    [
        ("sft", {"train": {"completion": 3}}, r"train\.jsonl:2"),
        ("dpo", {"pairs": {"rejected": 3}}, r"pairs\.jsonl:2"),
        ("kto", {"labelled": {"label": "maybe"}}, r"labelled\.jsonl:2"),
        ("distill", {"train": {"completion": 3}}, r"train\.jsonl:2"),
        ("reward_model", {"pairs": {"chosen": 3}}, r"pairs\.jsonl:2"),
        ("sample", {"tasks": {"sql": "SELECT x FROM numbers"}}, r"tasks\.jsonl:2: .*gold query.*x"),
        ("evaluate", {"tasks": {"sql": "DROP TABLE numbers"}}, r"tasks\.jsonl:2: .*gold query"),
        ("grpo", {"tasks": {"sql": "SELECT n FROM nowhere"}}, r"tasks\.jsonl:2: .*gold query.*nowhere"),
        ("grpo", {"tasks": {"sql": 5}}, r"tasks\.jsonl:2"),
        ("compare", {"tasks": {"prompt": None}}, r"tasks\.jsonl:2"),
    ],
)
def test_bad_rows_and_gold_queries(workshop: Path, stage: str, changed: dict[str, Any], problem: str) -> None:
    rows(workshop, **changed)
    with pytest.raises(BurnishError, match=problem):
        check(plan_of(workshop, STAGES[stage]))


def test_a_database_that_cannot_be_opened(workshop: Path) -> None:
    rows(workshop)
    (workshop / "broken.duckdb").write_text("no database")
    with pytest.raises(BurnishError, match=r"broken\.duckdb"):
        check(plan_of(workshop, STAGES["sample"].replace("numbers.duckdb", "broken.duckdb")))


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"python"}))
def test_a_model_without_a_chat_template(workshop: Path, stage: str) -> None:
    rows(workshop)
    bare = workshop / "bare"
    if not bare.exists():
        bare.mkdir()
        for file in (workshop / "model").iterdir():
            (bare / file.name).write_bytes(file.read_bytes())
        (bare / "chat_template.jinja").unlink(missing_ok=True)
        settings = json.loads((bare / "tokenizer_config.json").read_text())
        settings.pop("chat_template", None)
        (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(BurnishError, match="chat template"):
        check(plan_of(workshop, STAGES[stage], model="bare"))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def rewrad(prompt, completion, row): return 1\n", "has no function 'reward'; it has: rewrad"),
        ("def reward(prompt, completion, row: return 1\n", r"reward\.py: fails when it is loaded: SyntaxError.*line 1"),
        (
            "def reward(prompt, completion): return 1\n",
            r"reward\.py:1: reward\(prompt, completion\) is called with \(prompt, completion, row\).*too many",
        ),
        ("def reward(a, b, c, d, e=1): return 1\n", r"reward\(a, b, c, d, e=1\) is called.*missing a required.*'d'"),
        ("def reward(*, prompt): return 1\n", "too many positional"),
        ("async def reward(prompt, completion, row): return 1\n", r"reward\.py:1: reward is async def.*plain function"),
        ("def reward(prompt, completion, row):\n    yield 1\n", "reward is a generator"),
    ],
)
def test_a_reward_function_is_looked_for_without_running_the_file(workshop: Path, source: str, problem: str) -> None:
    rows(workshop)
    (workshop / "reward.py").write_text(f"{source}raise SystemExit('it ran')\n")
    with pytest.raises(BurnishError, match=problem):
        check(plan_of(workshop, STAGES["python"]))


@pytest.mark.parametrize(
    "source",
    [
        "def reward(a, b, /, c, d=1, *, e=2): return 1\n",
        "def reward(*answer, **further):\n    def inner():\n        yield 1\n    return next(inner())\n",
        "from functools import partial\nreward = partial(max, 3)\n",
        "if True:\n    def reward(prompt, completion, row): return 1\nelse:\n    def reward(): return 1\n",
    ],
)
def test_a_reward_function_may_take_what_it_is_given_in_any_way(workshop: Path, source: str) -> None:
    rows(workshop)
    (workshop / "reward.py").write_text(source)
    check(plan_of(workshop, STAGES["python"]))
    assert callable(load_function(workshop / "reward.py", "reward", GIVEN))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("reward = lambda prompt, completion: 1\n", r"reward\(prompt, completion\) is called with .*row\)"),
        ("class Reward:\n    async def __call__(self, a, b, c): return 1\nreward = Reward()\n", "is async def"),
    ],
)
def test_a_reward_that_is_known_only_when_it_is_loaded(tmp_path: Path, source: str, problem: str) -> None:
    (tmp_path / "reward.py").write_text(source)
    with pytest.raises(BurnishError, match=problem):
        load_function(tmp_path / "reward.py", "reward", GIVEN)


def test_what_is_still_to_be_made_is_named(tmp_path: Path) -> None:
    recipe = make_workshop(tmp_path)
    assert check(make_plan(recipe, runs=tmp_path / "runs"))[:3] == [
        "corpus: @prepare/documents.jsonl, @prepare/general.jsonl, which the run has still to make",
        "cpt: @corpus, which the run has still to make",
        "sft: @prepare/train.jsonl, which the run has still to make",
    ]


def test_gold_queries_run_once(workshop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(workshop, tasks={"sql": "SELECT max(n) FROM numbers"})
    asked: list[str] = []
    gold = SqlVerifier.gold

    def counted(verifier: SqlVerifier, sql: str) -> Any:
        asked.append(sql)
        return gold(verifier, sql)

    monkeypatch.setattr(SqlVerifier, "gold", counted)
    folder = workshop / "dry-runs" / "dry"
    folder.mkdir(parents=True)
    plan = plan_of(workshop, STAGES["evaluate"], STAGES["grpo"])
    check(plan)
    assert asked == ["SELECT 1", "SELECT max(n) FROM numbers"], "each distinct one, once for both stages"
    assert (folder / GOLD_FILE).exists()
    check(plan)
    assert len(asked) == 2, "and never again"
    with duckdb.connect(str(workshop / "numbers.duckdb")) as connection:
        connection.execute("INSERT INTO numbers VALUES (7)")
    check(plan_of(workshop, STAGES["evaluate"]))
    assert len(asked) == 4, "but for another database"


def test_a_run_refuses_before_it_trains(workshop: Path) -> None:
    rows(workshop, tasks={"sql": "SELECT x FROM numbers"})
    plan_of(workshop, STAGES["sft"], STAGES["evaluate"])
    with pytest.raises(BurnishError, match="gold query"):
        run(workshop / "dry.yaml", runs=workshop / "refused")
    assert not list((workshop / "refused" / "dry").glob("01-sft/*"))


LONG = {"prompt": "mod 3? " * 100}


@pytest.mark.parametrize(
    ("stage", "extra", "changed", "problem"),
    [
        (
            "sft",
            "max_length: 8",
            {},
            r"train\.jsonl: no usable row; raise max_length \(8\):\n.*0 examples kept, 6 dropped",
        ),
        ("dpo", "max_length: 8", {}, r"pairs\.jsonl: no usable row; raise max_length \(8\):"),
        ("kto", "max_length: 8", {}, r"labelled\.jsonl: no usable row; raise max_length \(8\):"),
        ("reward_model", "max_length: 8", {}, r"pairs\.jsonl: no usable row; raise max_length \(8\):"),
        (
            "sample",
            "",
            {"tasks": LONG},
            r"tasks\.jsonl:2: the prompt has \d{3} tokens, .* beside an answer of max_new_",
        ),
        (
            "evaluate",
            "",
            {"tasks": LONG},
            r"tasks\.jsonl:2: the prompt has \d{3} tokens, .*; lower max_new_tokens, sho",
        ),
        ("evaluate", "max_new_tokens: 1000", {}, r"context of 256 has room for 0 .* \(and 5 more are too long\)"),
        (
            "grpo",
            "max_new_tokens: 1000",
            {},
            r"context of 256 has room for 0 beside an answer of max_new_tokens: 1,000",
        ),
    ],
)
def test_what_has_no_room(workshop: Path, stage: str, extra: str, changed: dict[str, Any], problem: str) -> None:
    rows(workshop, **changed)
    plan = plan_of(workshop, STAGES[stage].replace("{", f"{{{extra}, ", 1) if extra else STAGES[stage])
    with pytest.raises(BurnishError, match=problem):
        check(plan)


def test_some_rows_without_room_are_the_stages_own_affair(workshop: Path) -> None:
    """Training drops and reports what is too long; only where nothing is left a run is refused before it starts."""
    rows(workshop, train=LONG, pairs=LONG, labelled=LONG, tasks=LONG)
    trained = ("sft", "dpo", "kto", "reward_model", "grpo")
    stages = [STAGES[name].replace("{", f"{{name: {name}, ", 1) for name in trained]
    limited = [stage.replace("{", "{max_length: 100, ", 1) if "grpo" not in stage else stage for stage in stages]
    assert check(plan_of(workshop, *limited)) == []
