"""Questions and answers that stand in a document's structure already: no model writes them, so none can make them up.

Each rule reads one kind of structure. What it asks is worded in one of several ways, chosen by a hash, so that a model
learns the question and not its wording; the answer is the document's own words.

| rule | from | asks for |
| --- | --- | --- |
| `definition` | a term or signature and its text | what it is or does |
| `term` | the same | the term, by its description: exact |
| `signature` | a signature | how it is called |
| `default` | a signature | the default of a parameter: exact |
| `version` | "New in version 3.8" in a definition | the version: exact |
| `faq` | a heading that is a question | its section |
| `topic` | a heading | its first paragraph |
| `statement` | a paragraph that begins "X is a ..." | what X is |
| `table` | a table whose first column names its rows | a cell: exact where it is short |
| `session` | a recorded Python session | what an expression gives: exact |
| `example` | code below a sentence that ends with a colon | the code |
| `gap` | a sentence with one number or one name in code | what is missing: exact |
| `title` | a section | its heading |
| `origin` | a paragraph | which document it is from, of several |
"""

from collections.abc import Callable, Iterator, Sequence

from burnish.synthesis import definition_rules, prose_rules, table_rules
from burnish.synthesis.chunk import DocumentChunk, Rule
from burnish.synthesis.rows import Pair

_READERS: dict[Rule, Callable[[DocumentChunk, int], Iterator[Pair]]] = {
    "definition": definition_rules.definition,
    "term": definition_rules.term,
    "signature": definition_rules.signature,
    "default": definition_rules.default,
    "version": definition_rules.version,
    "faq": prose_rules.faq,
    "topic": prose_rules.topic,
    "statement": prose_rules.statement,
    "table": table_rules.table,
    "session": table_rules.session,
    "example": table_rules.example,
    "gap": prose_rules.gap,
    "title": prose_rules.title,
    "origin": prose_rules.origin,
}


def pairs(at: DocumentChunk, rules: Sequence[Rule], max_answer: int) -> Iterator[Pair]:
    """All pairs that the rules find in a chunk. max_answer: characters of an answer, cut only between sentences."""
    for rule, read in _READERS.items():
        if rule in rules:
            yield from read(at, max_answer)
