"""The steps before the models: decode an image, detect faces, measure their quality, and crop them."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import DeadlineExceededError
from mien.v1 import face_pb2
from mien_models.crops import cut
from mien_models.detectors import Detector
from mien_models.faces import Faces
from mien_models.images import decode, raw
from mien_models.images.decode import DecodedImage
from mien_models.images.limits import ImageLimits
from mien_models.images.memory import PixelBudget
from mien_models.images.raw import RawImage
from mien_models.quality import Quality, QualityLimits, compare, judge
from mien_models.spec import CropSpec
from mien_orchestrator.pipeline.admission.fair_executor import FairExecutor
from mien_orchestrator.pipeline.request_context import RequestContext

FINENESS = 2
"""Smallest size of a reduced image, relative to the detector's input.

Of 141 faces on 54 photographs of 4,000 pixels, reduced decoding changes the gender of 0, the emotion of 8 and the age
of 24 by more than two years; saving the full photograph again, one pixel narrower, changes 2, 4 and 18
(`benchmarks/results/reduced.json`): small shifts of a box change predictions that are close to a border.
"""

LARGE_BYTES = 128 * 2**20
"""Memory at the peak of decoding from which an image is a large one: JPEGs of 19 megapixels, other formats of 15."""


class BulkheadExecutor(FairExecutor):
    """A bounded pool, with a second one for large images.

    Large images take long, and wait for memory: in the pool of the others, a few of them would occupy all threads.
    """

    def __init__(self, threads: int) -> None:
        """Use up to `threads` threads, and half as many, at least one, for large images; started when needed."""
        super().__init__(threads, "mien")
        self.large = FairExecutor(max(1, threads // 2), "mien-large")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Stop both pools; see `Executor.shutdown`."""
        self.large.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)


@dataclass(frozen=True, slots=True)
class PreparedFaces:
    """The faces of one image, ready for the models."""

    image: face_pb2.ImageInfo
    faces: Faces
    """In pixels of the whole upright image."""
    quality: Quality
    truncated: bool
    """Whether more faces were found than the limit allows."""
    crops: Mapping[CropSpec, NDArray[np.uint8]]
    """(M, S, S, 3) uint8 RGB crops of the answerable faces, one array per crop specification."""


class FaceStage:
    """Decodes, detects, judges quality and crops, all on the calling thread; safe to use from several threads.

    A photograph much larger than the detector's input is decoded at reduced size, and again at a larger one only if a
    face would otherwise give a model fewer pixels than it takes and the photograph has.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        limits: ImageLimits,
        max_faces: int,
        quality_limits: QualityLimits,
        enough: int | None,
        budget: PixelBudget,
    ) -> None:
        """Create the stage.

        Args:
            detector: Finds the faces.
            limits: Largest image.
            max_faces: Most faces of one image.
            quality_limits: Smallest and most blurred face that gets answers.
            enough: Long side that the detector needs, in pixels; None decodes every image at full size.
            budget: Memory for the images that are decoded at the same time.

        """
        self.detector = detector
        self._limits = limits
        self._max_faces = max_faces
        self._quality_limits = quality_limits
        self._enough = enough
        self._budget = budget

    def is_large(self, source: bytes | RawImage) -> bool:
        """Return whether decoding an image takes so much time and memory that it may hold up others; see `run`."""
        return self._peak_bytes(source, None) > LARGE_BYTES

    def run(
        self, source: bytes | RawImage, specs: Collection[CropSpec], max_faces: int | None, context: RequestContext
    ) -> PreparedFaces:
        """Find and crop the faces of an image.

        Args:
            source: The bytes of an image file, or raw pixels.
            specs: The crops that the models take.
            max_faces: Keep at most this many faces, the largest; None for the server's limit.
            context: Gets a span for each step. No further step is begun after its `cancelled`.

        Raises:
            ImageError: The bytes are not an image that can be read, or the raw pixels' numbers do not agree.
            DeadlineExceededError: The request was cancelled.

        """
        with self.opened(source, context) as image:
            return self._run(source, image, specs, max_faces, context)

    @contextmanager
    def opened(
        self, source: bytes | RawImage, context: RequestContext, *, max_pixels: int | None = None
    ) -> Iterator[DecodedImage]:
        """Decode an image, as large as detection needs it, and hold its memory during the block; see `run`.

        `max_pixels` is a lower limit than that of the stage.
        """
        peak = self._peak_bytes(source, max_pixels)
        began_ms = context.spans.now_ms()
        with self._budget.reserve(peak, deadline=context.deadline, cancelled=context.cancelled.is_set) as waited:
            if waited is None:
                raise DeadlineExceededError("no memory was free for the image before the deadline; try again later")
            if waited:
                context.spans.add_since("queue", began_ms)
            with context.spans.step("decode"):
                image = self._decode(source, self._enough)
            check_cancelled(context)
            yield image

    def limit(self, max_faces: int | None) -> int:
        """Return the most faces that a request gets; `max_faces` is None for the server's limit."""
        return self._max_faces if max_faces is None else min(max_faces, self._max_faces)

    def judge(self, image: DecodedImage, faces: Faces) -> Quality:
        """Measure the quality of faces, which are in pixels of the whole upright image."""
        return judge(image.pixels, faces.scaled(1 / image.shrunk), self._quality_limits, shrunk=image.shrunk)

    def compare(self, faces: Faces, sharpness: NDArray[np.float32]) -> Quality:
        """As `judge`, with sharpness (N,) that was measured before."""
        return compare(faces.boxes[:, 3], sharpness, self._quality_limits)

    def _run(
        self,
        source: bytes | RawImage,
        image: DecodedImage,
        specs: Collection[CropSpec],
        max_faces: int | None,
        context: RequestContext,
    ) -> PreparedFaces:
        limit = self.limit(max_faces)
        spans = context.spans
        with spans.step("detect"):
            found = self.detector.detect(image.pixels)
        check_cancelled(context)
        faces = found.largest_first(limit).scaled(image.shrunk)
        enough = self._enough_for(faces, specs, image)
        if image.shrunk > 1 and enough > max(image.pixels.shape):
            with spans.step("decode"):
                image = self._decode(source, enough)
        with spans.step("crop"):
            quality = self.judge(image, faces)
            answerable = faces.take(quality.answerable).scaled(1 / image.shrunk)
            crops = {spec: cut(image.pixels, answerable, spec) for spec in specs}
        return PreparedFaces(image_info(image, faces.searched), faces, quality, len(found) > limit, crops)

    def _peak_bytes(self, source: bytes | RawImage, max_pixels: int | None) -> int:
        limits = self._limits
        if max_pixels is not None:
            limits = replace(limits, max_pixels=min(max_pixels, limits.max_pixels))
        if isinstance(source, RawImage):
            return raw.peak_bytes(source, limits)
        return decode.peak_bytes(source, limits)

    def _decode(self, source: bytes | RawImage, enough: int | None) -> DecodedImage:
        if isinstance(source, RawImage):
            return raw.convert(source, self._limits)
        return decode.decode(source, self._limits, enough=enough)

    def _enough_for(self, faces: Faces, specs: Collection[CropSpec], image: DecodedImage) -> int:
        """Return the long side, in pixels, at which the smallest answerable face fills its crops."""
        heights = faces.boxes[faces.boxes[:, 3] >= self._quality_limits.min_face_px, 3]
        wanted = max((spec.size / spec.scale for spec in specs), default=0.0)
        return int(max(image.width, image.height) * wanted / heights.min()) if len(heights) else 0


def check_cancelled(context: RequestContext) -> None:
    """Raise `DeadlineExceededError` if the request was cancelled."""
    if context.cancelled.is_set():
        raise DeadlineExceededError("the caller cancelled this request")


def image_info(image: DecodedImage, searched: float | None) -> face_pb2.ImageInfo:
    """Describe an image for the reply; `searched` is the smallest height of faces that the detector searched for."""
    return face_pb2.ImageInfo(
        width=image.width,
        height=image.height,
        format=image.format,
        exif_orientation=image.exif_orientation,
        orientation_applied=image.orientation_applied,
        data_missing=image.data_missing,
        smallest_face_px=searched,
    )
