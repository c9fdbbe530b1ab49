"""The Jinja environment of the pages: everything escaped, nothing undefined, no character that a page cannot show."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from burnish.report import formatting
from burnish.terminal import printable


def page_environment(max_text: int) -> Environment:
    """An environment with the templates of this folder and the filters that all of them use.

    max_text: characters to which the filter `shortened` cuts a text.
    """
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    for function in (formatting.percent, formatting.points, formatting.signed, formatting.number):
        made.filters[function.__name__] = function
    made.filters |= {"duration": formatting.duration, "words": formatting.words, "titled": formatting.title}
    made.filters["shortened"] = lambda text: formatting.shortened(text, max_text)
    return made
