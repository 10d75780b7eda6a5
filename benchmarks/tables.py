"""Format Markdown tables and their cells."""

from collections.abc import Sequence

from summary import Spread


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned to the right."""
    line = ["---", *("---:" for _ in headings[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [headings, line, *rows])


def spread_cell(value: Spread) -> str:
    """Return the median with the lowest and the highest value in parentheses."""
    digits = 0 if value.high >= 100 or value.high == 0 else 1
    texts = [f"{number:.{digits}f}" for number in (value.median, value.low, value.high)]
    return texts[0] if len(set(texts)) == 1 else f"{texts[0]} ({texts[1]} to {texts[2]})"
