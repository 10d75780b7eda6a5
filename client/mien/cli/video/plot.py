"""Plot the emotion and mood of each track over time, as a picture."""

from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mien.cli.video.drawing import colour
from mien.cli.video.history import History, Moment
from mien.errors import FileError, InvalidRequestError

_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
_WIDTH, _HEIGHT = 1000, 170
_LEFT, _RIGHT, _TOP, _BAND, _GAP = 120, 20, 26, 16, 12
_INK, _GRID, _PAPER = (40, 40, 40), (215, 215, 215), (255, 255, 255)
_VALENCE, _AROUSAL = (0, 114, 178), (213, 94, 0)

_EMOTIONS = {
    "angry": (213, 50, 40),
    "disgust": (110, 140, 60),
    "fear": (130, 90, 170),
    "happy": (250, 190, 40),
    "sad": (70, 120, 190),
    "surprise": (60, 190, 180),
    "neutral": (190, 190, 190),
}

_MOST_TRACKS = 12
"""The longest ones."""

_BREAK_MS = 400.0
"""The lines of a track have a gap where its face was hidden for longer."""


def check_suffix(path: Path) -> None:
    """Raise `InvalidRequestError` if a plot cannot be written to a file of this name."""
    if path.suffix.lower() not in _SUFFIXES:
        raise InvalidRequestError(f"{path}: unsupported file type of a plot; use {', '.join(_SUFFIXES)}")


def plot(history: History, path: Path) -> None:
    """Write the plot; raises `MienError` if it cannot be written."""
    check_suffix(path)
    picture = draw_plot(history)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format=_SUFFIXES[path.suffix.lower()])
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def draw_plot(history: History) -> Image.Image:
    """Return one row per track: a band of its emotions, and lines of valence and arousal from -1 to 1."""
    tracks = {track: moments for track, moments in history.moments.items() if moments}
    longest = sorted(tracks, key=lambda track: -len(tracks[track]))[:_MOST_TRACKS]
    began = min((tracks[track][0].timestamp_ms for track in longest), default=0.0)
    ended = max((tracks[track][-1].timestamp_ms for track in longest), default=0.0)
    picture = Image.new("RGB", (_WIDTH, _TOP + max(1, len(longest)) * (_HEIGHT + _GAP) + 44), _PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=13)
    _legend(pen, font)
    if not longest:
        pen.text((_LEFT, _TOP + 40), "no face with a mood", fill=_INK, font=font)
    for row, track in enumerate(sorted(longest)):
        top = _TOP + row * (_HEIGHT + _GAP)
        _row(pen, font, track, tracks[track], top, (began, max(ended - began, 1.0)))
    bottom = _TOP + max(1, len(longest)) * (_HEIGHT + _GAP)
    for part in range(6):
        x = _LEFT + part * (_WIDTH - _LEFT - _RIGHT) / 5
        pen.text((x, bottom), f"{(began + part * (ended - began) / 5) / 1e3:.1f} s", fill=_INK, font=font, anchor="ma")
    x = float(_LEFT)
    for emotion, shade in _EMOTIONS.items():
        pen.rectangle((x, bottom + 24, x + 12, bottom + 36), fill=shade)
        pen.text((x + 16, bottom + 23), emotion, fill=_INK, font=font)
        x += 26 + font.getlength(emotion)
    return picture


def _legend(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> None:
    for x, text, shade in ((_LEFT, "valence", _VALENCE), (_LEFT + 90, "arousal", _AROUSAL)):
        pen.line((x, 12, x + 20, 12), fill=shade, width=2)
        pen.text((x + 26, 4), text, fill=_INK, font=font)


def _row(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    track: int,
    moments: list[Moment],
    top: float,
    span: tuple[float, float],
) -> None:
    bottom = top + _HEIGHT - _BAND - 4
    middle, half = (top + bottom) / 2, (bottom - top) / 2

    def across(timestamp_ms: float) -> float:
        return _LEFT + (timestamp_ms - span[0]) / span[1] * (_WIDTH - _LEFT - _RIGHT)

    pen.rectangle((10, top + 4, 22, top + 16), fill=colour(track))
    pen.text((28, top + 2), f"track {track}", fill=_INK, font=font)
    for value in (-1, 0, 1):
        y = middle - value * half
        pen.line((_LEFT, y, _WIDTH - _RIGHT, y), fill=_GRID)
        pen.text((_LEFT - 6, y), f"{value:+d}" if value else "0", fill=_INK, font=font, anchor="rm")
    for before, after in pairwise(moments):
        if after.timestamp_ms - before.timestamp_ms > _BREAK_MS:
            continue
        x0, x1 = across(before.timestamp_ms), across(after.timestamp_ms)
        pen.rectangle((x0, bottom + 4, x1, bottom + 4 + _BAND), fill=_EMOTIONS.get(before.emotion, _GRID))
        for first, second, shade in (
            (before.valence, after.valence, _VALENCE),
            (before.arousal, after.arousal, _AROUSAL),
        ):
            pen.line((x0, middle - first * half, x1, middle - second * half), fill=shade, width=2)
