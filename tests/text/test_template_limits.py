"""Chat templates come with downloaded models: none of them hangs or eats memory, in any thread."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from burnish.errors import BurnishError, CheckpointError
from burnish.text import template_limits
from burnish.text.chat import Message, encode_conversation, render
from burnish.text.tokenizer import Tokenizer

QUESTION: list[Message] = [{"role": "user", "content": "a"}]
BIG = "{% set a = 'a' * 1000000 %}"


def doubling(start: str, step: str, end: str) -> str:
    """Sixty doublings of a value: 2^60 of it, written once each."""
    loop = f"{{% for i in range(60) %}}{{% set ns.a = {step} %}}{{% endfor %}}"
    return f"{{% set ns = namespace(a={start}) %}}{loop}{{{{ {end} }}}}"


TIME = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "empty loops": "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "calls": "{% set c = cycler(1) %}{% for i in range(99999) %}{% for j in range(9999) %}{{ c.next() }}{% endfor %}"
    "{% endfor %}",
    "filters": "{% for i in range(99999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}",
}
SIZE = {
    "a range": "{% for i in range(10**9) %}{% endfor %}",
    "text times a number": "{{ 'a' * 10**10 }}",
    "a list times a number": "{{ ([1] * 10**9) | length }}",
    "a power": "{{ 9 ** (9 ** 9) }}",
    "doubled by +": doubling("'ab'", "ns.a + ns.a", "1"),
    "doubled by ~": doubling("'ab'", "ns.a ~ ns.a", "1"),
    "doubled by ~ with escapes": "{% autoescape true %}" + doubling("'ab'", "ns.a ~ ns.a", "1") + "{% endautoescape %}",
    "doubled by a block": "{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set b %}{{ ns.a }}{{ ns.a }}"
    "{% endset %}{% set ns.a = b %}{% endfor %}",
    "a list of itself, written": doubling("[1]", "[ns.a, ns.a]", "ns.a"),
    "as JSON": doubling("[1]", "[ns.a, ns.a]", "ns.a | tojson"),
    "compared": doubling("[1]", "[ns.a, ns.a]", "ns.a == ns.a"),
    "looked for": doubling("[1]", "[ns.a, ns.a]", "ns.a in [ns.a]"),
    "hashed": doubling("(1,)", "(ns.a, ns.a)", "{ns.a: 1}"),
    "hashed by an item": doubling("(1,)", "(ns.a, ns.a)", "{}[ns.a]"),
    "hashed by a method": doubling("(1,)", "(ns.a, ns.a)", "{}.get(ns.a)"),
    "unique": doubling("(1,)", "(ns.a, ns.a)", "[ns.a] | unique | list | length"),
    "mapped": doubling("(1,)", "(ns.a, ns.a)", "[ns.a] | map('string') | list | length"),
    "joined to text": doubling("(1,)", "(ns.a, ns.a)", "ns.a ~ 'a'"),
    "formatted": doubling("[1]", "[ns.a, ns.a]", "'%s' % [ns.a]"),
    "many slices": BIG
    + "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = ns.l + [a[1:]] %}{% endfor %}",
    "written often": "{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}",
    "tojson": "{{ [[1] * 10000] | tojson(indent=10**9) }}",
    "sum": "{{ ([[1]] * 200000) | sum(start=[]) | length }}",
    "striptags": "{{ ('<!---->' * 200000) | striptags }}",
    **{
        call: "{{ " + call + " }}"
        for call in (
            "'a' | center(10**10)",
            "'a'.ljust(10**10)",
            "'a'.zfill(10**10)",
            "'\\t'.expandtabs(10**10)",
            "'{:>10000000000}'.format('a')",
            "'{:>{}}'.format('a', '9999999999')",
            "'%10000000000d' % 1",
            "'%*d' % (10**10, 1)",
            "'%.1000000000f' % 1.0",
            "'%10000000000d' | format(1)",
            "[1] | batch(10**9, 'x') | list",
            "[1] | slice(10**9) | list",
            "1 | round(10**9, 'ceil')",
            "(1).to_bytes(10**10, 'big')",
        )
    },
    **{
        call: BIG + "{{ " + call + " }}"
        for call in (
            "a | replace('a', a)",
            "a.replace('a', a)",
            "a.join(a)",
            "range(99999) | join(a)",
            "a.join(range(99999) | map('string'))",
            "a.translate({97: a})",
            "('a\\n' * 100000) | indent(100000)",
            "a | wordwrap(1, wrapstring=a)",
        )
    },
}
DEPTH = {
    "a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a loop": "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
    "a block": "{% block a %}{{ self.a() }}{% endblock %}",
    "a list": "{% set ns = namespace(a=[]) %}{% for i in range(9999) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}",
}
SOURCE = {
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "conditions": "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "sums": "{{ " + "+".join(["1"] * 5000) + " }}",
    "digits": "{{ " + "9" * 5000 + " }}",
    "long": "a" * 300_000,
}


def stopped(tokenizer: Tokenizer, template: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        render(replace(tokenizer, chat_template=template), QUESTION)
    assert tokenizer.source in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("case", TIME)
def test_time(case: str, smollm2_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.05)
    assert "was stopped: it computes for more than" in stopped(smollm2_tokenizer, TIME[case])


@pytest.mark.parametrize("case", SIZE)
def test_size(case: str, smollm2_tokenizer: Tokenizer) -> None:
    assert "was stopped: " in (message := stopped(smollm2_tokenizer, SIZE[case]))
    assert "seconds" not in message
    assert "without end" not in message


@pytest.mark.parametrize("case", DEPTH)
def test_depth(case: str, smollm2_tokenizer: Tokenizer) -> None:
    assert "was stopped: it nests without end" in stopped(smollm2_tokenizer, DEPTH[case])


@pytest.mark.parametrize("case", SOURCE)
def test_source(case: str, smollm2_tokenizer: Tokenizer) -> None:
    assert "compiled" in stopped(smollm2_tokenizer, SOURCE[case])


def test_in_a_thread(smollm2_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_limits, "MAX_SECONDS", 0.05)
    found: list[Any] = []

    def work() -> None:
        try:
            found.append(render(replace(smollm2_tokenizer, chat_template=TIME["loops"]), QUESTION))
        except BurnishError as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in found] == [CheckpointError] * 2


def test_conversations_are_far_from_the_limits(smollm2_tokenizer: Tokenizer) -> None:
    """A book in one message, and more turns than anybody takes, even where a template looks through all for each."""
    book: list[Message] = [{"role": "user", "content": "word " * 1_000_000}]
    assert len(render(smollm2_tokenizer, book)) > 5_000_000
    turns: list[Message] = [
        {"role": role, "content": f"{i}"}
        for i in range(300)
        for role in ("user", "assistant")  # type: ignore[misc]
    ]
    quadratic = (
        "{% set ns = namespace(seen=[]) %}{% for m in messages %}{% set ns.seen = ns.seen + [m] %}"
        "{% for other in messages[:loop.index] %}{% if other.role == m.role and other == m %}{% endif %}{% endfor %}"
        "<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    )
    written = render(replace(smollm2_tokenizer, chat_template=quadratic), turns)
    assert written.count("<|im_end|>") == 600
    assert sum(encode_conversation(replace(smollm2_tokenizer, chat_template=quadratic), turns[:20])[1]) > 20
