"""Find duplicate faces across collections by a perceptual hash, so that no face is in both training and evaluation."""

from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

_NEAR = 4
"""Largest Hamming distance of two copies' 64-bit hashes."""

_Key = TypeVar("_Key", bound=Hashable)


class Known:
    """The hashes of faces excluded from training."""

    def __init__(self, images: Iterable[NDArray[np.uint8]]) -> None:
        """`images`: (H, W) or (H, W, 3) faces; compared faces must be framed alike."""
        self._hashes = np.array([difference_hash(image) for image in images], np.uint64)

    def __contains__(self, image: NDArray[np.uint8]) -> bool:
        if not len(self._hashes):
            return False
        return bool((np.bitwise_count(self._hashes ^ np.uint64(difference_hash(image))) <= _NEAR).any())

    @staticmethod
    def contradictions(faces: Mapping[_Key, NDArray[np.uint8]], labels: Mapping[_Key, str]) -> set[_Key]:
        """Return the faces to drop: copies of one face with different labels, and all copies but the first."""
        groups: dict[int, list[_Key]] = {}
        for key, face in faces.items():
            groups.setdefault(difference_hash(face), []).append(key)
        left_out: set[_Key] = set()
        for keys in groups.values():
            agree = len({labels[key] for key in keys}) == 1
            left_out.update(keys[1:] if agree else keys)
        return left_out


def difference_hash(image: NDArray[np.uint8]) -> int:
    """Return 64 bits: whether each of 8 x 8 cells is brighter than its right neighbour (dHash)."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int(np.packbits(bits).view(">u8")[0])
