"""The structure of documents, read from their text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.synthesis import source_code
from burnish.synthesis.sentences import sentences, shortened, without
from burnish.synthesis.structure import SectionBlock, block_text, cut, plain, sections

PAGE = """\
# `shutil` — Files¶

The **module** offers [operations](x.html) on \\*args.

## Copying¶

-
shutil.copy(*src*, *dst*, *\\**, *follow\\_symlinks=True*)¶
- Copies a file.
It says where.

- *exception* shutil.SameFileError¶
- Raised for the same file.

Setext
------

Term
: What the term means.

**MAX_LENGTH=<N>**

The longest text there may be.

1. **Voucher**: a paper of some worth.
2. plain item

| Day | Opens |
|---|---|
| Monday | 9:30 |

```python
# not a heading
print(1)
```

    indented()
"""


def test_sections_have_their_headings_and_blocks() -> None:
    found = {section.headings: section.blocks for section in sections(PAGE)}
    assert list(found) == [
        ("`shutil` — Files",),
        ("`shutil` — Files", "Copying"),
        ("`shutil` — Files", "Setext"),
    ]
    assert found["`shutil` — Files",] == (SectionBlock("paragraph", "The module offers operations on *args."),)
    assert found["`shutil` — Files", "Copying"] == (
        SectionBlock(
            "definition", "Copies a file. It says where.", term="shutil.copy(src, dst, *, follow_symlinks=True)"
        ),
        SectionBlock("definition", "Raised for the same file.", term="exception shutil.SameFileError"),
    )
    term, length, voucher, item, table, code, indented = found["`shutil` — Files", "Setext"]
    assert (term.term, term.text) == ("Term", "What the term means.")
    assert (length.term, length.text) == ("MAX_LENGTH=", "The longest text there may be.") or length.term.startswith(
        "MAX_LENGTH"
    )
    assert (voucher.kind, voucher.term, voucher.text) == ("definition", "Voucher", "a paper of some worth.")
    assert item == SectionBlock("item", "plain item")
    assert table.rows == (("Day", "Opens"), ("Monday", "9:30"))
    assert (code.text, code.language) == ("# not a heading\nprint(1)", "python")
    assert (indented.kind, indented.text) == ("code", "indented()")


def test_a_term_without_text_is_a_paragraph() -> None:
    assert [block.kind for section in sections("**Alone**\n") for block in section.blocks] == ["paragraph"]
    assert [block.text for section in sections("**Alone**\n\n```\nx\n```") for block in section.blocks] == [
        "Alone",
        "x",
    ]


@settings(max_examples=60)
@given(st.text(alphabet="ab \n\t#-*|`:¶=>1.\\_[]()", max_size=120))
def test_any_text_is_read_and_no_word_is_made_up(text: str) -> None:
    found = sections(text)
    for section in found:
        assert [block for part in cut(section, 40) for block in part.blocks] == list(section.blocks)
        letters = "".join(character for character in section.text if character in "ab")
        assert len(letters) <= sum(character in "ab" for character in text)


def test_a_block_is_never_cut() -> None:
    (section,) = sections("one two three\n\nfour five six\n\nseven")
    assert [block_text(block) for part in cut(section, 20) for block in part.blocks] == [
        "one two three",
        "four five six",
        "seven",
    ]
    assert len(list(cut(section, 20))) == 2


def test_marks_go_and_code_stays() -> None:
    assert plain("**A** *b* `c_d*` e\\_f [g](h) x_y_z 2*3*4 <sup>5</sup>") == "A b `c_d*` e_f g x_y_z 2*3*4 5"


def test_sentences_end_where_they_end() -> None:
    text = "This is e.g. a test. Version 3.5 came. (Note it.) 好的。再见。 And Mr. Smith?"
    assert sentences(text) == [
        "This is e.g. a test.",
        "Version 3.5 came.",
        "(Note it.) 好的。",
        "再见。",
        "And Mr. Smith?",
    ]
    assert shortened(text, 30) == "This is e.g. a test."
    assert shortened("A sentence that is too long.", 10) is None
    assert without("The changes() function, `changes()`, not exchanges.", "changes") == (
        "The … function, …, not exchanges."
    )


PYTHON = '''
"""The module says this."""

class Box:
    """A box of things."""

    def open(self, key: str = "k", *, fast=False) -> int:
        """Open it.

        Args:
            key: the key.
        """

    def _private(self):
        """Nobody reads this."""

def undocumented(): ...
'''


def test_docstrings_are_definitions() -> None:
    (section,) = source_code.sections(PYTHON, "box.py")
    assert section.headings == ("box.py",)
    assert [(block.term, block.text) for block in section.blocks] == [
        ("", "The module says this."),
        ("class Box", "A box of things."),
        ("Box.open(key: str='k', *, fast=False) -> int", "Open it."),
    ]


def test_broken_source_is_no_source() -> None:
    assert source_code.sections("def f(:", "x.py") == []
    assert source_code.sections("(" * 50_000, "x.py") == []
    assert source_code.sections("x = 1\n" * 500_000, "x.py") == []


def test_comments_above_declarations_are_definitions() -> None:
    text = """
/**
 * Adds two numbers of the ledger.
 * @param a the first
 */
public static int add(int a, int b) {
}

// Parse reads the file and returns it.
func Parse(name string) (int, error) {

/// The state of a widget.
pub struct Widget<T> {

// This is about nothing below it.

int x = 1;
"""
    (section,) = source_code.sections(text, "x.java")
    assert [(block.term, block.text) for block in section.blocks] == [
        ("add(int a, int b)", "Adds two numbers of the ledger."),
        ("Parse(name string)", "Parse reads the file and returns it."),
        ("Widget", "The state of a widget."),
    ]
