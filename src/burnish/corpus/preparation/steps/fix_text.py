"""Broken text repaired by ftfy (Speer 2019, doi:10.5281/zenodo.2591652): encodings mixed up, entities, ligatures.

Notable choices:
- code stays as it is: files of source code, and in other documents what stands in fences, between backticks or
  indented. So does the structure of tables, in which no entity is made a bar or a line end;
- two of ftfy's repairs are off unless asked for: curly quotes are no damage, and wide punctuation is what Chinese and
  Japanese text has.
"""

import re
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field

from burnish.corpus.preparation.steps.markup import is_source_code, parts
from burnish.corpus.preparation.steps.step import BatchStep
from burnish.corpus.preparation.table import Outcome
from burnish.errors import BurnishError

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

_SUSPECT = re.compile(r"[^\n\t -%'-~]")
"""What ftfy may change: all but printable ASCII, and the ampersand."""


class FixText(BatchStep):
    """Repair text that was decoded wrongly or escaped, by ftfy; the keys are ftfy's."""

    libraries: ClassVar[tuple[str, ...]] = ("ftfy",)

    type: Literal["fix_text"] = Field("fix_text", description="fix_text")
    keep_code: bool = Field(True, description="leave source code, code blocks and code in text as they are")
    unescape_html: Literal["auto"] | bool = Field(
        "auto", description="entities such as &amp; are characters; auto: where the text has no <"
    )
    remove_terminal_escapes: bool = Field(True, description="take out colours of a terminal")
    fix_encoding: bool = Field(True, description="decode again what was decoded by a wrong encoding")
    restore_byte_a0: bool = Field(True, description="take a space for byte A0 where that mends an encoding")
    replace_lossy_sequences: bool = Field(True, description="mend an encoding that has lost characters, with � there")
    decode_inconsistent_utf8: bool = Field(True, description="mend UTF-8 within text of another encoding")
    fix_c1_controls: bool = Field(True, description="characters of Windows-1252 for the controls of Latin-1")
    fix_latin_ligatures: bool = Field(True, description="letters for ligatures such as ﬁ")
    fix_character_width: bool = Field(False, description="usual widths for wide Latin letters and narrow Katakana")
    uncurl_quotes: bool = Field(False, description="straight quotes for curly ones")
    fix_line_breaks: bool = Field(True, description="newlines for all kinds of line ends")
    remove_control_chars: bool = Field(True, description="take out control characters that show nothing")
    normalization: Literal["NFC", "NFD", "NFKC", "NFKD"] | None = Field("NFC", description="form of Unicode")

    def __call__(self, batch: pl.DataFrame) -> Outcome:
        config = self._config()
        texts = [self._fixed(text, origin, config) for text, origin in batch.select("text", "origin").iter_rows()]
        return Outcome(batch.with_columns(pl.Series("text", texts, pl.String)))

    def _fixed(self, text: str, origin: str, config: "TextFixerConfig") -> str:
        if not _SUSPECT.search(text):
            return text
        if not self.keep_code:
            return _repaired(text, config)
        if is_source_code(origin):
            return text
        pieces = list(parts(text))
        if config.unescape_html == "auto":
            # As ftfy has it, but for the whole document: its parts are repaired apart.
            config = config._replace(unescape_html=not any(kind != "code" and "<" in piece for kind, piece in pieces))
        plain = config._replace(unescape_html=False)
        return "".join(
            piece if kind == "code" else _repaired(piece, plain if kind == "table" else config)
            for kind, piece in pieces
        )

    def _config(self) -> "TextFixerConfig":
        try:
            from ftfy import TextFixerConfig
        except ImportError:
            raise BurnishError("fix_text needs ftfy; install it with `pip install 'burnish[data]'`") from None
        return TextFixerConfig(explain=False, **self.model_dump(exclude={"type", "keep_code"}))


def _repaired(text: str, config: "TextFixerConfig") -> str:
    from ftfy import fix_text

    return fix_text(text, config) if _SUSPECT.search(text) else text
