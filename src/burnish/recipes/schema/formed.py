"""The form of answers, of stages and chats that a judge of SQL belongs to."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from burnish.methods.answering import Form
from burnish.recipes.language.places import KeyPath
from burnish.recipes.schema.judges import JudgeConfig
from burnish.recipes.schema.stage import StageContext, StrictModel

if TYPE_CHECKING:
    from burnish.generation.grammar import Grammar, Grammars

GrammarName = Literal["sql"]


class Formed(StrictModel):
    """The key of a stage whose answers may have a form."""

    grammar: GrammarName | None = Field(
        None,
        description="form of the answers: `sql` is one query that names only what the database of the judge of type "
        "sql has; needs burnish[serve]",
    )


def form_problems(grammar: GrammarName | None, judges: Sequence[JudgeConfig]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong with the key beside these judges."""
    if grammar is not None and not any(judge.type == "sql" for judge in judges):
        yield ("grammar",), "got 'sql'; no judge here is of type sql, whose database says what may be named"


def form_of(context: StageContext, grammar: GrammarName | None, judges: Sequence[JudgeConfig]) -> Form | None:
    """What makes the grammar; the database is read only where a model is asked."""
    judge = next((one for one in judges if one.type == "sql"), None)
    if grammar is None or judge is None:
        return None

    def form(grammars: "Grammars") -> "Grammar":
        from burnish.rewards.sql_grammar import schema_grammar
        from burnish.rewards.sql_schema import read_schema

        with judge.sandbox(context) as sandbox:
            return schema_grammar(grammars, read_schema(sandbox))

    return form
