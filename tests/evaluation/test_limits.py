"""What a run cannot do, from its own numbers."""

from burnish.evaluation import limits


def test_a_small_model_holds_little() -> None:
    text = limits.of_model(134_515_008)
    assert text is not None
    assert "135 million parameters holds at most some 34 MB of facts" in text
    assert "1.7 billion" in (limits.of_model(1_711_376_384) or "")
    assert limits.of_model(7_000_000_000) is None


def test_few_readings_carry_no_facts() -> None:
    text = limits.of_documents(5, 12_340, 2.0)
    assert text is not None
    assert text.startswith("5 steps of continued pre-training read 12,340 tokens 2 times;")
    assert "1 step of continued pre-training read 9 tokens once;" in (limits.of_documents(1, 9, 0.5) or "")
    assert limits.of_documents(10**5, 10**6, 200.0) is None


def test_few_rows_teach_a_form() -> None:
    assert (limits.of_conversations(24) or "").startswith("24 conversations to imitate teach a form of answer")
    assert limits.of_conversations(52_000) is None
    assert (limits.of_pairs(300) or "").startswith("300 preferences shift tone and length")
    assert limits.of_pairs(60_000) is None


def test_a_run_names_each_of_its_stages() -> None:
    stages = {
        "cpt": ("cpt", {"steps": 5, "domain_tokens": 100, "passes": {"domain": 1.0}}),
        "sft": ("sft", {"examples": 24}),
        "old": ("cpt", {"steps": 5}),
        "evaluate": ("evaluate", {"tasks": 300}),
    }
    found = list(limits.of_run(135_000_000, stages))
    assert len(found) == 3
    assert list(limits.of_run(None, {})) == []
