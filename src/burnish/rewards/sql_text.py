"""The query in what a model wrote: behind its thoughts, inside a fence, between its explanations.

Everything here reads the text once from left to right: what a model writes may be long, and may be made to be slow.
"""

import re
from collections.abc import Iterator

from burnish.rewards.format import answer_block, without_thoughts

# What a query begins with, and what a statement of any kind does. "With this you get" is none.
_WITH = r"""with\s++(?:recursive\s++)?+(?:"[^"]*+"|\w++)\s*+(?:\(|as\b)"""
_QUERY = re.compile(
    rf"(?:\(\s*+)*+(?:{_WITH}|(?:select|from|values|table|pivot|unpivot|summarize|describe|show)\b)", re.IGNORECASE
)
_STATEMENT = re.compile(
    rf"(?:\(\s*+)*+(?:{_WITH}|"
    r"(?:select|from|values|table|pivot|unpivot|summarize|describe|desc|show|explain|insert|update|delete|merge|"
    r"create|drop|alter|copy|attach|detach|install|load|pragma|set|reset|call|use|begin|commit|rollback|checkpoint|"
    r"vacuum|analyze|export|import|prepare|execute|truncate|comment)\b)",
    re.IGNORECASE,
)
# Words that are a fence's info string when they stand alone, although queries begin with them.
_LANGUAGES = {"table", "show", "describe", "values"}
_FENCE = re.compile(r"`{3,}+|^[ \t]*+~{3,}+(?=[ \t]*+[\w.+-]*+[ \t\r]*+$)", re.MULTILINE)
_TILDES = re.compile(r"^[ \t]*+(~{3,}+)[ \t\r]*+$", re.MULTILINE)
_QUOTE = re.compile(r" {0,3}+>[ ]?+(?P<fence>[ \t]*+(?:`{3}|~{3}))?+")
_BLANK = re.compile(r"(?:\s++|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z))*+")
_TOKEN = re.compile(
    r"""(?P<quoted>[eE]'(?:[^'\\]|\\.|'')*+'?|'[^']*+'?|"[^"]*+"?|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)"""
    r"""|(?P<dollar>\$\w*+\$)|(?P<paragraph>\n[ \t\r]*+\n\s*+)|(?P<end>;)|(?P<open>\()|(?P<close>\))""",
    re.DOTALL,
)
_PIECE = re.compile(
    r"""(?P<quoted>'[^']*+'?|"[^"]*+"?)|(?P<blank>\s++|--[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?)|[^'"\s/-]++|.""",
    re.DOTALL,
)
_INLINE = re.compile(r"`([^`]*+)`")
_MARKUP = re.compile(r"(?:#{1,6} |\*\*)[A-Z]")
_SENTENCE = re.compile(r"[A-Z][a-z']*+[,: ][^\n]*+(?:\n(?![ \t\r]*+\n)[^\n]*+)*+")
_CONTINUES = re.compile(
    r"(?:from|where|group|order|having|limit|offset|union|intersect|except|join|left|right|inner|full|cross|natural|on|using|and|"
    r"or|not|in|is|window|qualify|select|as|values|asof|positional|semi|anti|lateral|fetch|case|when|then|else|end)\b",
    re.IGNORECASE,
)
_TAGGED = re.compile(
    r"<(?P<tag>sql|query)>((?:[^<]|<(?!/?(?:sql|query)>))*+)</(?P=tag)>"
    r"|\[sql\]((?:[^\[]|\[(?!/?sql\]))*+)(?:\[/sql\]|\Z)",
    re.IGNORECASE,
)
_INTRODUCED = re.compile(
    rf"^[ \t]*+(?:[*_]{{0,2}}+(?:\w++[ \t]*+){{1,5}}[*_]{{0,2}}+[:：][*_]{{0,2}}+[ \t]*+)?(?={_WITH}|select\b)",
    re.MULTILINE | re.IGNORECASE,
)


def extract_sql(completion: str) -> str:
    """The query that a completion gives as its answer; the empty text where it gives none.

    Thoughts are left out, and an `<answer>` is taken where there is one. Of several fenced blocks the last that begins
    like a query counts, whatever its info string; without a fence the last `<sql>` or `[SQL]` that does, the last
    `inline code`, or the text itself, from its first line that begins like a query to the semicolon or the paragraph
    behind which it explains. A second statement is kept, for the sandbox to refuse.
    """
    text = without_thoughts(completion)
    answer = answer_block(text)
    text = _unquoted(text if answer is None else answer)
    blocks = [block for block in map(str.strip, _fenced(text)) if block]
    if blocks:
        return next((block for block in reversed(blocks) if _begins(_QUERY, block)), blocks[-1])
    tagged = [(found[2] or found[3] or "").strip() for found in _TAGGED.finditer(text)]
    return _unfenced(next((block for block in reversed(tagged) if _begins(_QUERY, block)), text))


def _unquoted(text: str) -> str:
    """A text whose fences in a quotation (`> ```sql`) have no marks of it: from the fence to the quotation's end."""
    lines, inside = [], False
    for line in text.split("\n"):
        quote = _QUOTE.match(line)
        inside = quote is not None and (inside or quote["fence"] is not None)
        lines.append(line[quote.start("fence") if quote["fence"] else quote.end() :] if quote and inside else line)
    return "\n".join(lines)


def _begins(pattern: re.Pattern[str], text: str) -> bool:
    """Whether a text begins with `pattern`, comments aside."""
    blank = _BLANK.match(text)
    return pattern.match(text, blank.end() if blank else 0) is not None


def _fenced(text: str) -> Iterator[str]:
    """The contents of fences of backticks or tildes, also on one line or never closed."""
    position = 0
    while (opening := _FENCE.search(text, position)) is not None:
        mark = opening[0].strip()
        start = opening.end()
        if mark[0] == "`":
            found = text.find(mark, start)
            end, position = (found, found + len(mark)) if found >= 0 else (len(text), len(text))
            while text[position : position + 1] == "`":
                position += 1
        else:
            closings = (match for match in _TILDES.finditer(text, start) if len(match[1]) >= len(mark))
            closing = next(closings, None)
            end, position = (closing.start(), closing.end()) if closing else (len(text), len(text))
        yield _without_info(text[start:end].rstrip("`"))


def _without_info(block: str) -> str:
    """A fenced block without its info string, which may also stand before a query on the same line."""
    line, newline, body = block.partition("\n")
    first, _, rest = line.strip().partition(" ")
    if _begins(_QUERY, line) and (rest or first.lower() not in _LANGUAGES):
        return block
    if _begins(_QUERY, rest):
        return rest + newline + body
    return body if newline else block


def _unfenced(text: str) -> str:
    """A text that has no fence, without what is said before and after its query."""
    text = text.strip()
    first = text.partition("\n")[0].rstrip()
    # What ends with a colon is prose, also where it begins like a query: "Select those of May:".
    prose = first.endswith((":", "：")) and not first.startswith(("--", "/*"))
    if prose or not _begins(_STATEMENT, text):
        inline = [span.strip() for span in _INLINE.findall(text)]
        if queries := [span for span in inline if " " in span and _begins(_QUERY, span)]:
            return queries[-1]
        if (introduced := _INTRODUCED.search(text, len(first) if prose else 0)) is not None:
            text = text[introduced.end() :]
    # Stray marks of a fence, but not the quotes of names.
    text = bare if "`" not in (bare := text.strip("` \n")) else text
    if not _begins(_QUERY, text):
        return text
    depth = position = 0
    while (token := _TOKEN.search(text, position)) is not None:
        position = token.end()
        if token["dollar"]:
            closing = text.find(token["dollar"], position)
            if closing < 0:
                return text
            position = closing + len(token["dollar"])
        elif token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["end"]:
            return text if _begins(_STATEMENT, text[position:]) else text[:position]
        elif token["paragraph"] and depth <= 0 and _explains(text, position):
            return text[: token.start()]
    return text


def _explains(text: str, position: int) -> bool:
    """Whether the paragraph at `position` is prose.

    That is a heading or bold, or a capital, several words, a full stop, and no clause of a query.
    """
    if _MARKUP.match(text, position):
        return True
    sentence = _SENTENCE.match(text, position)
    return (
        sentence is not None
        and sentence[0].rstrip().endswith((".", "!", "?", ":"))
        and _CONTINUES.match(text, position) is None
    )


def plain_sql(sql: str) -> str:
    """A query in the form in which equal ones are compared: comments, white space and case outside quotes are gone."""
    pieces = (" " if one["blank"] else one[0] if one["quoted"] else one[0].lower() for one in _PIECE.finditer(sql))
    return " ".join("".join(pieces).split()).rstrip("; ")
