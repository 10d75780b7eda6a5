"""Show where a request's time went: python examples/timing_tree.py localhost:50051 photo.jpg"""

import sys

import mien


def lines(span: mien.Span, critical: tuple[str, ...], depth: int = 0) -> list[str]:
    """Return one line per step, those marked * that the reply had to wait for."""
    mark = "*" if span.name in critical and depth else " "
    line = f"{mark} {'  ' * depth}{span.name:<{20 - 2 * depth}} {span.start_ms:8.1f} {span.elapsed_ms:8.1f}"
    return [line, *(row for child in span.children for row in lines(child, critical, depth + 1))]


def main(server: str, photo: str) -> None:
    """Print the server's timing tree, in milliseconds from the request's arrival."""
    with mien.Client(server) as client:
        analysis = client.analyze(photo)
    print(f"  {'step':<20} {'start ms':>8} {'took ms':>8}")
    print("\n".join(lines(analysis.timing, analysis.critical_path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
