"""What the processor of this machine multiplies quickly."""

import platform
from functools import cache
from pathlib import Path

_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})
"""Linux's names of instructions that multiply 8-bit integers and add them up."""

_CPU_INFO = Path("/proc/cpuinfo")


@cache
def fast_int8() -> bool:
    """Return whether 8-bit integers are multiplied faster than 32-bit floats; False if that cannot be told."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return has_int8_flags(text)


def has_int8_flags(cpu_info: str) -> bool:
    """Return whether a /proc/cpuinfo lists one of the instructions."""
    lines = (line.partition(":") for line in cpu_info.splitlines())
    words = {word for name, _, value in lines if name.strip() in ("flags", "Features") for word in value.split()}
    return bool(words & _FLAGS)
