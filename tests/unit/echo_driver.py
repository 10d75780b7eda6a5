"""A driver whose one face is as old as the number in the file's name; started by test_alternatives.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "alternatives" / "drivers"))

import answer_loop


def analyze(path: str) -> list[dict[str, object]]:
    print("a library's message", flush=True)
    print(f"asked for {Path(path).name}", file=sys.stderr, flush=True)
    return [{"box": [0, 0, 1, 1], "age": int(Path(path).stem), "gender": None, "emotions": {}}]


answer_loop.run({"echo": "1"}, analyze)
