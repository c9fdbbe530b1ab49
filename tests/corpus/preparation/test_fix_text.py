"""Repair of broken text: what ftfy does to prose, and nothing to code."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.corpus.preparation.steps.fix_text import FixText
from burnish.corpus.preparation.steps.markup import parts
from burnish.corpus.preparation.table import SCHEMA

ftfy = pytest.importorskip("ftfy")


def fixed(texts: Sequence[str], origin: str = "a.md", **keys: Any) -> list[str]:
    rows = [
        {name: str(number) for name in SCHEMA} | {"text": text, "origin": origin} for number, text in enumerate(texts)
    ]
    return FixText.model_validate(keys)(pl.DataFrame(rows, schema=SCHEMA)).kept["text"].to_list()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Die StraÃŸe fÃ¼hrt zum CafÃ©.", "Die Straße führt zum Café."),
        ("Salt &amp; pepper", "Salt & pepper"),
        ("<b>Salt &amp; pepper</b>", "<b>Salt &amp; pepper</b>"),
        ("Salt &amp; `a<b` pepper", "Salt & `a<b` pepper"),
        ("An eﬃcient ﬁle", "An efficient file"),
        ("“Curly” quotes stay，and wide commas", "“Curly” quotes stay，and wide commas"),
        ("Red \x1b[31mtext\x1b[0m and\r\na new line", "Red text and\na new line"),
        ("| a &amp; b | cafÃ© &#124; |", "| a &amp; b | café &#124; |"),
        ("Say `cafÃ© &amp; x` in cafÃ©.", "Say `cafÃ© &amp; x` in café."),
        ("Plain text.", "Plain text."),
        ("", ""),
    ],
)
def test_prose_is_repaired(text: str, expected: str) -> None:
    assert fixed([text, "cafÃ©"]) == [expected, "café"]


def test_a_file_of_source_code_stays() -> None:
    assert fixed(["s = 'cafÃ©'"], origin="src/a.py") == ["s = 'cafÃ©'"]
    assert fixed(["s = 'cafÃ©'"], origin="src/a.py", keep_code=False) == ["s = 'café'"]
    assert fixed(["A cafÃ©"], origin="thesis.tex") == ["A café"]


@pytest.mark.parametrize(
    "keys", [{}, {"uncurl_quotes": True}, {"unescape_html": True, "normalization": "NFKC"}, {"fix_encoding": False}]
)
def test_keys_are_those_of_ftfy(keys: dict[str, Any]) -> None:
    text = "“CafÃ©” &lt;b&gt; ① ﬁ\r\n`cafÃ©`"
    own = {"uncurl_quotes": False, "fix_character_width": False}
    assert fixed([text], keep_code=False, **keys) == [ftfy.fix_text(text, ftfy.TextFixerConfig(**{**own, **keys}))]


BROKEN = "cafÃ© &amp; “x” ﬁ\x1b[0m"
BLOCKS = st.sampled_from(
    [
        ("prose", f"Some prose: {BROKEN}.\n"),
        ("prose", f"- an item {BROKEN}\n- another\n"),
        ("prose", "\n"),
        ("prose", "    \n"),
        ("table", f"| {BROKEN} | b |\n| --- | --- |\n"),
        ("code", f"```python\nprint('{BROKEN}')\n\n| no table |\n```\n"),
        ("code", f"~~~~\n```\n{BROKEN}\n~~~\n~~~~\n"),
        ("code", f"   ```sh\r\n{BROKEN}\r\n   ```\r\n"),
        ("code", f"> ```\n> {BROKEN}\n> ```\n"),
        ("code", f"\n    {BROKEN}\n    more\n"),
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(BLOCKS, max_size=6))
def test_no_code_block_is_changed(blocks: list[tuple[str, str]]) -> None:
    text = "".join(block for _, block in blocks)
    assert "".join(part for _, part in parts(text)) == text
    (result,) = fixed([text])
    place = 0
    for block in (block.lstrip("\n") for kind, block in blocks if kind == "code"):
        place = result.index(block, place) + len(block)
    assert result.count("cafÃ©") == sum(kind == "code" for kind, _ in blocks)
    assert result.count("café") == sum(kind != "code" and BROKEN in block for kind, block in blocks)


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet="ab `~|\n\t>\r", max_size=60))
def test_parts_are_the_text(text: str) -> None:
    assert "".join(part for _, part in parts(text)) == text


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet=[chr(code) for code in range(9, 127) if chr(code) not in "&\x1b"], max_size=40))
def test_what_is_passed_over_is_what_ftfy_leaves(text: str) -> None:
    assert fixed([text], keep_code=False) == [ftfy.fix_text(text, uncurl_quotes=False, fix_character_width=False)]
