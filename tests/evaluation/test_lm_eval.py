"""The adapter for lm-evaluation-harness against its own Hugging Face backend: equal scores on local tasks."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import burnish
from burnish.errors import BurnishError
from burnish.nn.config import DecoderConfig
from burnish.nn.decoder import Decoder
from served import running
from workshop import CHATML, tiny_tokenizer

pytest.importorskip("lm_eval", reason="pip install lm-eval, which the harness's tests are for")
pytestmark = pytest.mark.slow  # the harness, transformers and datasets take seconds to import

CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "Answer in SQL.\\nsystem user assistant: {{question}}\\nAnswer:"
doc_to_choice: "{{options}}"
doc_to_target: "{{right}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
ROLLING = """
task: local_rolling
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
"""
WRITTEN = """
task: local_written
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "system user assistant: {{question}}"
doc_to_target: "{{text}}"
generation_kwargs: {until: ["\\n", "pr"], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = tiny_tokenizer()
    decoder = Decoder(
        DecoderConfig(
            vocab_size=tokenizer.vocab_size, d_model=32, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, d_ff=48,
            max_positions=128,
        )
    )  # fmt: skip
    decoder.initialize(seed=0)
    for parameter in decoder.parameters():
        parameter.data.mul_(3)
    folder = tmp_path_factory.mktemp("harness") / "model"
    burnish.save(decoder, tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tasks")
    rows = [
        {
            "question": f"{i} mod 3?",
            "options": [" SELECT 1", " 2", " prose prose", " 1"],
            "right": i % 4,
            "text": f"system user assistant prose {i} SELECT " * (1 + 3 * i),
        }
        for i in range(6)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, task in (("choice", CHOICE), ("rolling", ROLLING), ("written", WRITTEN)):
        (folder / f"{name}.yaml").write_text(task.replace("DATA", str(folder / "rows.jsonl")))
    os.environ["HF_DATASETS_CACHE"], os.environ["HF_HUB_OFFLINE"] = str(folder / "cache"), "1"
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False)


def evaluated(model: Any, manager: Any) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    names = ["local_choice", "local_rolling", "local_written"]
    found = simple_evaluate(model, tasks=names, task_manager=manager, bootstrap_iters=0)
    assert found is not None
    return dict(found)


def test_scores_and_answers_equal_those_of_the_hugging_face_backend(model: Path, tasks: Any) -> None:
    from lm_eval.models.huggingface import HFLM

    from burnish.evaluation.lm_eval import BurnishLM

    torch.manual_seed(0)
    theirs = evaluated(HFLM(str(model), device="cpu", dtype="float32", batch_size=4), tasks)
    ours = evaluated(BurnishLM(model, device="cpu", dtype="float32", micro_batch_tokens=200), tasks)
    for task, scores in theirs["results"].items():
        for name, value in scores.items():
            if isinstance(value, float):
                assert ours["results"][task][name] == pytest.approx(value, rel=1e-5), (task, name)
    for task, samples in theirs["samples"].items():
        for one, other in zip(samples, ours["samples"][task], strict=True):
            if task == "local_written":
                assert other["resps"] == one["resps"]
                continue
            for mine, yours in zip(_flat(other["resps"]), _flat(one["resps"]), strict=True):
                assert float(mine) == pytest.approx(float(yours), rel=1e-5, abs=1e-5)


def test_scores_through_the_server_equal_those_of_the_adapter(model: Path, tasks: Any) -> None:
    """The harness's `local-completions`, which llama.cpp's server answers without the prompt's log-probabilities."""
    pytest.importorskip("aiohttp", reason="the harness's clients of servers need it")
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from burnish.evaluation.lm_eval import BurnishLM

    with running(burnish.load(model, device="cpu", compute_dtype="float32")) as server:
        client = LocalCompletionsAPI(
            base_url=f"{server.url}/v1/completions",
            model="tiny",
            tokenizer=str(model),
            tokenizer_backend="huggingface",
            tokenized_requests=True,
            num_concurrent=4,
            max_length=128,
        )
        theirs = evaluated(client, tasks)
    # Where a text is cut, the client counts the token that it has the server write, and the one before a window.
    ours = evaluated(BurnishLM(model, device="cpu", dtype="float32", max_length=126), tasks)
    for task, scores in theirs["results"].items():
        for name, value in scores.items():
            if isinstance(value, float):
                assert ours["results"][task][name] == pytest.approx(value, rel=1e-4), (task, name)
    for task, samples in theirs["samples"].items():
        for one, other in zip(samples, ours["samples"][task], strict=True):
            if task == "local_written":
                assert other["resps"] == one["resps"]
                continue
            for mine, yours in zip(_flat(other["resps"]), _flat(one["resps"]), strict=True):
                assert float(mine) == pytest.approx(float(yours), rel=1e-4, abs=1e-4)


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for part in value for one in _flat(part)]
    return [value if not isinstance(value, str) else value == "True"] if isinstance(value, str | bool) else [value]


def test_a_context_is_computed_once_for_all_of_its_continuations(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.api.instance import Instance

    from burnish.evaluation.lm_eval import BurnishLM

    seen: list[int] = []
    forward = Decoder.forward

    def counting(self: Decoder, forest: Any, **options: Any) -> Any:
        seen.append(forest.n_tokens)
        return forward(self, forest, **options)

    monkeypatch.setattr(Decoder, "forward", counting)
    lm = BurnishLM(model, device="cpu", dtype="float32")
    context = "Answer in SQL.\n" * 4 + "A:"
    options = (" 1", " 2", " 3", " 0")
    requests = [Instance("loglikelihood", {}, (context, option), i) for i, option in enumerate(options)]
    scores = lm.loglikelihood(requests, disable_tqdm=True)
    assert seen == [len(lm.tok_encode(context + " "))]
    assert sum(greedy for _, greedy in scores) <= 1


def test_what_the_engine_does_not_offer_is_named(model: Path) -> None:
    from lm_eval.api.instance import Instance

    from burnish.evaluation.lm_eval import BurnishLM

    lm = BurnishLM(model, device="cpu", dtype="float32")
    with pytest.raises(BurnishError, match=r"generation_kwargs\.num_beams: not among what is offered"):
        lm.generate_until([Instance("generate_until", {}, ("a", {"num_beams": 4}), 0)])
    with pytest.raises(BurnishError, match="max_gen_toks of 500 leaves no room"):
        lm.generate_until([Instance("generate_until", {}, ("a", {"max_gen_toks": 500}), 0)])


@pytest.mark.parametrize("trims", [False, True])
def test_a_message_is_continued_where_the_hugging_face_backend_continues_it(
    model: Path, tmp_path: Path, trims: bool
) -> None:
    from lm_eval.models.huggingface import HFLM

    from burnish.evaluation.lm_eval import BurnishLM

    folder = tmp_path / "model"
    decoder, tokenizer = burnish.load(model)
    template = CHATML.replace("m.content", "m.content | trim") if trims else CHATML
    burnish.save(decoder, replace(tokenizer, chat_template=template), folder)
    theirs, ours = HFLM(str(folder), device="cpu", dtype="float32"), BurnishLM(folder, device="cpu", dtype="float32")
    for begun in ("The answer is", "  The answer is ", "```python\n", "", " ", "assistant", "a\n\nuser"):
        chat = [{"role": "user", "content": "The answer is?"}, {"role": "assistant", "content": begun}]
        assert ours.apply_chat_template(chat) == theirs.apply_chat_template(chat)
        assert ours.apply_chat_template(chat, False) == theirs.apply_chat_template(chat, False), begun


def test_a_message_that_cannot_be_continued_is_named(model: Path) -> None:
    from burnish.evaluation.lm_eval import BurnishLM

    decoder, tokenizer = burnish.load(model)
    silent = replace(tokenizer, chat_template="{% for m in messages %}{{ m.role }}\n{% endfor %}")
    with pytest.raises(BurnishError, match="leaves out how the last message ends, 'so'"):
        BurnishLM(decoder, silent).apply_chat_template([{"role": "assistant", "content": "so"}], False)
    with pytest.raises(BurnishError, match="its content is None"):
        BurnishLM(decoder, tokenizer).apply_chat_template([{"role": "assistant", "content": None}], False)


def test_odd_contexts_score_as_with_the_hugging_face_backend(model: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from burnish.evaluation.lm_eval import BurnishLM

    theirs, ours = HFLM(str(model), device="cpu", dtype="float32"), BurnishLM(model, device="cpu", dtype="float32")
    contexts = ("", "SELECT ", "SELECT\n\n", "<|im_start|>user", "prose " * 200, "é\u200b😀")
    pairs = [(context, said) for context in contexts for said in ("SELECT 1", " 2", "\n", "prose " * 60)]
    requests = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
    expected = theirs.loglikelihood(requests, disable_tqdm=True)
    found = ours.loglikelihood(requests, disable_tqdm=True)
    for pair, one, other in zip(pairs, found, expected, strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-4, abs=1e-4), pair
        assert one[1] == other[1], pair
    blank = [Instance("loglikelihood", {}, pair, 0) for pair in ((" ", "SELECT 1"), ("", " SELECT 1"))]
    assert len({logp for logp, _ in ours.loglikelihood(blank, disable_tqdm=True)}) == 1
    settings = {"until": ["\n"], "max_gen_toks": 6}
    asked = [Instance("generate_until", {}, (context, settings), n) for n, context in enumerate(contexts) if context]
    assert ours.generate_until(asked) == theirs.generate_until(asked, disable_tqdm=True)
