"""Draw bars with whiskers as SVG: one bar per system, its length the median, the whisker from lowest to highest."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from summary import Spread

_WIDTH, _LABELS, _VALUES = 760, 190, 90
_ROW, _TOP = 28, 44
_COLOURS = {"in-process": "#8c8c8c", "ours": "#2a7f62", "peer": "#b5651d"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    label: str
    kind: str
    """A key of `_COLOURS`."""
    value: Spread


def draw(title: str, bars: Sequence[Bar]) -> str:
    """Return the SVG."""
    longest = max((bar.value.high for bar in bars), default=1.0) or 1.0
    rows = [_row(bar, _TOP + index * _ROW, (_WIDTH - _LABELS - _VALUES) / longest) for index, bar in enumerate(bars)]
    height = _TOP + len(bars) * _ROW + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
            f' viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="13">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
            f'<text x="12" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
            *rows,
            "</svg>\n",
        ]
    )


def _row(bar: Bar, top: float, scale: float) -> str:
    low, middle, high = (_LABELS + scale * value for value in (bar.value.low, bar.value.median, bar.value.high))
    centre = top + _ROW / 2
    return (
        f'<text x="{_LABELS - 8}" y="{centre + 4:.1f}" text-anchor="end">{escape(bar.label)}</text>'
        f'<rect x="{_LABELS}" y="{top + 4:.1f}" width="{middle - _LABELS:.1f}" height="{_ROW - 8}"'
        f' fill="{_COLOURS[bar.kind]}"/>'
        f'<path d="M{low:.1f} {centre:.1f}H{high:.1f}M{low:.1f} {centre - 4:.1f}v8M{high:.1f} {centre - 4:.1f}v8"'
        ' stroke="#111111" fill="none"/>'
        f'<text x="{high + 8:.1f}" y="{centre + 4:.1f}">{bar.value.median:.1f}</text>'
    )
