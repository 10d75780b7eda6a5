"""Count the scans of a JPEG without decoding it.

A progressive JPEG is decoded once per scan, and 1 MB can hold over 10,000 scans of the whole picture, each of which
costs as much as a pass over all coefficients. Photographs have at most 16 scans.
"""

import re

MAX_SCANS = 100
"""Most scans of a JPEG."""

MAX_FULL_SCANS = 16
"""Most scans of a JPEG with the largest number of pixels allowed; a smaller one may have up to `MAX_SCANS`."""

_SOS = 0xDA
_SEQUENTIAL = (0xC0, 0xC1)
_EOI = 0xD9
# The next marker that is followed by a length, or the end: not a stuffed byte, a fill byte, TEM or a restart marker.
_MARKER = re.compile(rb"\xff+([^\x00\x01\xff\xd0-\xd7])", re.DOTALL)


def count_scans(data: bytes, limit: int = MAX_SCANS) -> int:
    """Count the start-of-scan markers before the end of the first picture, up to `limit` + 1.

    Payloads of segments, such as an EXIF thumbnail, and whatever follows the picture, such as the film of a motion
    photo, do not count. Markers are those of ITU-T T.81, table B.1.
    """
    scans, at, components = 0, 2, 0
    while scans <= limit and (found := _MARKER.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker == _EOI:
            break
        if marker in _SEQUENTIAL and not components:
            components = int.from_bytes(data[at + 7 : at + 8], "big")
        if marker == _SOS:
            if components and data[at + 2 : at + 3] == bytes([components]):
                return 1  # libjpeg reads no further scan of a sequential JPEG whose first one has all components
            scans += 1
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans
