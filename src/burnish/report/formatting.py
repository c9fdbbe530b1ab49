"""Numbers as a person reads them; the filters of the report's template."""

from typing import Any

NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"


def percent(share: float, digits: int = 1) -> str:
    """0.6234 -> "62.3 %"."""
    return f"{100 * share:.{digits}f}{NARROW_SPACE}%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, signed: 0.683 -> "+68.3"."""
    return signed(100 * difference, 1)


def signed(value: float, digits: int) -> str:
    """With its sign, and without one when it rounds to zero."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"{'+' if value > 0 else MINUS}{text}"


def number(value: float) -> str:
    """Three significant digits and every digit before the point: 0.0412, 6.9, 1,234; 2e-5 where it is tiny or huge."""
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return scientific(value, 3)
    text = f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.3g}"
    return text.replace("-", MINUS)


def scientific(value: float, digits: int) -> str:
    """0.00002 -> "2e-5": at most so many digits, no zeros that say nothing."""
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def duration(seconds: float) -> str:
    """0.34 -> "0.3 s", 48 -> "48 s", 125 -> "2 min 05 s", 4320 -> "1 h 12 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f}{NARROW_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW_SPACE}min {whole % 60:02d}{NARROW_SPACE}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}{NARROW_SPACE}h {minutes % 60:02d}{NARROW_SPACE}min"


def words(name: str) -> str:
    """A key as words: "final_unseen_intents" -> "final unseen intents"."""
    return name.replace("_", " ").strip()


def title(name: str) -> str:
    """`words` with a capital; a name of one or two letters is an abbreviation: "kl" -> "KL"."""
    text = words(name)
    return text.upper() if len(text) <= 2 else text[:1].upper() + text[1:]


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, saying how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n\N{HORIZONTAL ELLIPSIS} {len(text) - limit:,} more characters"


def tail(text: str, limit: int) -> str:
    """The last `limit` characters, saying how many were left out."""
    if len(text) <= limit:
        return text
    return f"\N{HORIZONTAL ELLIPSIS} {len(text) - limit:,} characters before\n{text[-limit:]}"


def pair(interval: Any) -> tuple[float, float] | None:
    """The ends of a recorded interval, where there is one."""
    return None if interval is None else (float(interval[0]), float(interval[1]))
