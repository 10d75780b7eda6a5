"""Format the tracks of a video as a table."""

from rich.table import Table

from mien.cli.video.history import History
from mien.types.video import TrackSummary


def summary(history: History) -> Table:
    """Return one row per track, in their order."""
    table = Table()
    for heading in ("track", "from", "for", "frames", "age", "gender", "emotions", "mean mood"):
        table.add_column(heading, justify="right" if heading in ("track", "from", "for", "frames") else "left")
    for track, item in sorted(history.summaries.items()):
        table.add_row(
            str(track),
            f"{item.start_ms / 1e3:.1f} s",
            f"{item.duration_ms / 1e3:.1f} s",
            str(item.frames),
            f"{item.age.years:.0f} ({item.age.low:.0f}-{item.age.high:.0f})" if item.age else "-",
            str(item.gender).removeprefix("gender ") if item.gender else "-",
            ", ".join(f"{share.label} {share.probability:.0%}" for share in item.emotion_shares[:3]) or "-",
            _mood(item),
        )
    if not history.summaries:
        table.add_row("-", "", "", "", "no face", "", "", "")
    return table


def _mood(item: TrackSummary) -> str:
    if not item.moods:
        return "-"
    count = len(item.moods)
    valence = sum(mood.valence for _, mood in item.moods) / count
    arousal = sum(mood.arousal for _, mood in item.moods) / count
    return f"valence {valence:+.2f}, arousal {arousal:+.2f}"
