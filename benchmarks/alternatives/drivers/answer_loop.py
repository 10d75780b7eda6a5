"""The common form of the drivers in Python: one path per line on standard input, one JSON object each on the output.

Imported by the drivers, in the environments of the systems that they drive. Time and CPU time are from the path to the
predictions, with reading and decoding of the file.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import TextIO


def run(versions: dict[str, str], analyze: Callable[[str], list[dict[str, object]]]) -> None:
    """Answer every line with the faces that `analyze(path)` returns."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the libraries' own messages
    _write(answers, {"versions": {"python": sys.version.split()[0], **versions}})
    for line in sys.stdin:
        photograph = line.rstrip("\n")
        start, cpu = time.perf_counter(), time.process_time()
        faces = analyze(photograph)
        used, elapsed = time.process_time() - cpu, time.perf_counter() - start
        answer = {"photograph": photograph, "faces": faces, "milliseconds": 1e3 * elapsed, "cpu_ms": 1e3 * used}
        _write(answers, answer)


def _write(answers: TextIO, content: dict[str, object]) -> None:
    print(json.dumps(content), file=answers, flush=True)
