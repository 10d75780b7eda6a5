"""The page docs/scale.md, from the results of the simulation."""

from pathlib import Path
from typing import Any


def write(results: dict[str, Any], page: Path) -> None:
    """Write the tables of the page between its marks; the text around them is kept."""
    text = page.read_text(encoding="utf-8")
    for name, table in _tables(results).items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        _, after = rest.split(end)
        text = f"{before}{begin}{table}{end}{after}"
    page.write_text(text, encoding="utf-8")


def _tables(results: dict[str, Any]) -> dict[str, str]:
    tables = {
        "times": _times(results["times"]),
        "steady": _steady(results),
        "targets": _targets(results["targets"]),
        "events": _events(results),
    }
    if "validation" in results:
        tables["validation"] = _validation(results["validation"])
    return tables


def _times(times: dict[str, Any]) -> str:
    fronts = sorted(photo["front_s"] for photo in times["photographs"])
    faces = [photo["faces"] for photo in times["photographs"]]
    rows = [
        (
            "decoding, detection, cropping: median photograph (lowest, highest)",
            f"{1e3 * fronts[len(fronts) // 2]:.1f} ms ({1e3 * fronts[0]:.1f}, {1e3 * fronts[-1]:.1f})",
        ),
        ("faces per photograph: mean (most)", f"{sum(faces) / len(faces):.1f} ({max(faces)})"),
        *(
            (
                f"{name}: per batch, per face",
                f"{1e3 * times['call_s'][name]:.1f} ms, {1e3 * times['face_s'][name]:.1f} ms",
            )
            for name in times["call_s"]
        ),
        ("a request in a cluster costs more than in one process", f"{1e3 * times['hop_s']:.1f} ms"),
        ("a new replica on a running node answers after", f"{times['start_s']:.1f} s"),
    ]
    return _table(("time", "measured"), rows)


def _steady(results: dict[str, Any]) -> str:
    rows = []
    for row in [*results["steady"], *results["beyond"]]:
        replicas = " + ".join(f"{count:,} {name}" for name, count in row["replicas"].items())
        rows.append(
            (
                f"{row['requests_per_second']:,}",
                f"{row.get('cells', 1):,}",
                replicas,
                f"{row['p50_ms']:.0f}",
                f"{row['p99_ms']:.0f}",
                f"{row['core_hours_per_million']:.1f}",
            )
        )
    return _table(
        ("requests/s", "clusters", "largest number of replicas", "p50, ms", "p99, ms", "core-hours per million images"),
        rows,
    )


def _targets(targets: list[dict[str, Any]]) -> str:
    rows = [
        (
            f"{row['targets'][0]:g}, {row['targets'][1]:g}",
            f"{row['p50_ms']:.0f}",
            f"{row['p99_ms']:.0f}",
            f"{100 * row['refused_share']:.2f} %",
            f"{row['core_hours_per_million']:.1f}",
        )
        for row in targets
    ]
    return _table(
        ("target of an orchestrator, of a worker", "p50, ms", "p99, ms", "refused", "core-hours per million images"),
        rows,
    )


def _events(results: dict[str, Any]) -> str:
    rows = []
    for name in ("day", "flash crowd", "zone lost"):
        row = results[name]
        whole = row.get("whole_again_s")
        rows.append(
            (
                name,
                f"{row['p50_ms']:.0f}, {row['p99_ms']:.0f}",
                f"{100 * row['refused_share']:.2f} %",
                f"{100 * row['late_share']:.2f} %",
                "-" if whole is None else f"{whole:.0f} s",
                f"{row['core_hours_per_million']:.1f}",
            )
        )
    return _table(
        (
            "event",
            "p50, p99, ms",
            "refused",
            "later than 2 s",
            "last late or refused request",
            "core-hours per million",
        ),
        rows,
    )


def _validation(validation: dict[str, Any]) -> str:
    rows = []
    for row in validation["rows"]:
        real, simulated = row["real_ms"], row["simulated_ms"]
        rows += [
            (
                f"{100 * row['share_of_peak']:.0f} % of the peak, {row['requests_per_second']:.1f} requests/s",
                key,
                f"{real[key]:.0f}",
                f"{simulated[key]:.0f}",
                f"{100 * row[f'{key}_error']:+.0f} %",
            )
            for key in ("p50", "p99")
        ]
    return _table(("load", "", "real, ms", "simulated, ms", "error"), rows)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
