"""What is seen in a photograph before any task: its bytes in, faces, their quality and their crops out."""

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import DeadlineExceededError
from mien.v1 import face_pb2
from mien_models.crops import cut
from mien_models.decode import DecodedImage, ImageLimits, decode
from mien_models.detectors import Detector
from mien_models.faces import Faces
from mien_models.quality import Quality, QualityLimits, judge
from mien_models.spec import CropSpec
from mien_orchestrator.pipeline.timing import Stopwatch

FINENESS = 2
"""How much larger than the detector's own picture a reduced photograph stays, at least.

Of 137 faces on 54 photographs of 4,000 pixels, 2 change their gender so, and 4 where the whole photograph is only saved
again, one pixel narrower (`benchmarks/results/reduced.json`): a box that moves a little moves what is close.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in an image, before any task."""

    image: face_pb2.ImageInfo
    faces: Faces
    """In pixels of the whole upright image."""
    quality: Quality
    truncated: bool
    crops: Mapping[CropSpec, NDArray[np.uint8]]
    """(M, S, S, 3) uint8 RGB of the faces that get answers, once for every kind of crop that the tasks want."""


class Sight:
    """Decodes, detects, judges and cuts, all on the calling thread; safe to use from several.

    A photograph far larger than the detector's picture is decoded shrunk, and larger again only where a face would give
    the models fewer pixels than they take and than it has.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        limits: ImageLimits,
        max_faces: int,
        quality_limits: QualityLimits,
        enough: int | None,
    ) -> None:
        """`enough` is the longer side, in pixels, that the detector needs; None decodes all photographs whole."""
        self.detector = detector
        self._limits = limits
        self._max_faces = max_faces
        self._quality_limits = quality_limits
        self._enough = enough

    def see(
        self,
        data: bytes,
        specs: Collection[CropSpec],
        max_faces: int,
        gone: threading.Event,
        watch: Stopwatch,
        steps: list[face_pb2.Span],
    ) -> Seen:
        """See at most `max_faces` faces (0: the limit) in an image file; each step appends its span to `steps`.

        Stops before the next step once `gone` says that nobody waits any more. Raises `mien_models.decode.ImageError`.
        """
        limit = min(max_faces or self._max_faces, self._max_faces)
        with watch.step("decode", steps):
            image = decode(data, self._limits, enough=self._enough)
        _go_on(gone)
        with watch.step("detect", steps):
            found = self.detector.detect(image.pixels)
        _go_on(gone)
        faces = found.largest_first(limit).scaled(image.shrunk)
        enough = self._enough_for(faces, specs, image)
        if image.shrunk > 1 and enough > max(image.pixels.shape):
            with watch.step("decode", steps):
                image = decode(data, self._limits, enough=enough)
        with watch.step("cut", steps):
            here = faces.scaled(1 / image.shrunk)
            quality = judge(image.pixels, here, self._quality_limits, shrunk=image.shrunk)
            answerable = here.take(quality.answerable)
            crops = {spec: cut(image.pixels, answerable, spec) for spec in specs}
        return Seen(_image_info(image), faces, quality, len(found) > limit, crops)

    def _enough_for(self, faces: Faces, specs: Collection[CropSpec], image: DecodedImage) -> int:
        """Return the longer side of the picture in which the smallest face that gets answers fills its crops."""
        heights = faces.boxes[faces.boxes[:, 3] >= self._quality_limits.min_face, 3]
        wanted = max((spec.size / spec.scale for spec in specs), default=0.0)
        return int(max(image.width, image.height) * wanted / heights.min()) if len(heights) else 0


def _go_on(gone: threading.Event) -> None:
    if gone.is_set():
        raise DeadlineExceededError("nobody waits for this image any more")


def _image_info(image: DecodedImage) -> face_pb2.ImageInfo:
    return face_pb2.ImageInfo(
        width=image.width,
        height=image.height,
        format=image.format,
        exif_orientation=image.exif_orientation,
        orientation_applied=image.orientation_applied,
    )
