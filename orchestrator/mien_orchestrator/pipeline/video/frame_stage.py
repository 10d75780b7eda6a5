"""The steps before the models for a frame of a video: decode, detect or search, track, measure quality, crop."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.v1 import face_pb2
from mien_models.crops import cut
from mien_models.detectors import Detector
from mien_models.detectors.motion import Scene, Template, scene, search, template
from mien_models.detectors.pyramid import Pyramid
from mien_models.faces import Faces
from mien_models.images.decode import DecodedImage
from mien_models.images.raw import RawImage
from mien_models.quality import Quality
from mien_models.spec import CropSpec
from mien_orchestrator.pipeline.face_stage import FaceStage, check_cancelled, image_info
from mien_orchestrator.pipeline.request_context import RequestContext
from mien_orchestrator.pipeline.video.assignment import overlaps
from mien_orchestrator.pipeline.video.track import Floats, Track
from mien_orchestrator.pipeline.video.tracking import Changes, Tracker

WEAK = 0.5
"""Score of detections that keep a track alive, relative to the detector's threshold."""

_HIDING_INTERVAL = 3
"""Interval of the detector in frames while a face is hidden."""

_APART = 0.05
"""Overlap of two faces from which they are detected in every frame."""

_ALIKE = 0.6
"""Correlation with the last detection's template from which a search has found the face."""


@dataclass(frozen=True, slots=True)
class SeenFrame:
    """The faces of a frame, before the models are called."""

    image: face_pb2.ImageInfo
    tracks: Sequence[Track]
    """The faces that the frame shows, by track id."""
    faces: Faces
    """The same faces (N,), in pixels of the whole upright image, their boxes and points filtered."""
    quality: Quality
    changes: Changes
    detected: bool
    """Whether the detector ran on the whole frame."""
    cut: bool
    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, shrunk by `shrunk`."""
    shrunk: int

    def crops(self, spec: CropSpec, places: Sequence[int]) -> NDArray[np.uint8]:
        """Return (M, S, S, 3) uint8 RGB crops of some of the faces."""
        return cut(self.pixels, self.faces.take(np.array(places, np.intp)).scaled(1 / self.shrunk), spec)


class FrameStage:
    """Processes the frames of one stream in order; each call may be on another thread."""

    def __init__(self, stage: FaceStage, tracker: Tracker, detection_interval: int, max_pixels: int) -> None:
        """Create the stage of a stream; the detector runs on every `detection_interval`-th frame at least."""
        self._stage = stage
        self._max_pixels = max_pixels
        self._tracker = tracker
        self._interval = detection_interval
        self._since = detection_interval
        """Frames since the last detection, this one included."""
        self._scene: Scene | None = None
        self._templates: dict[int, Template] = {}
        self._sharpness: dict[int, float] = {}
        """Last measurement, by track id."""
        self._running = threading.Lock()
        """Held during `run`: a cancelled frame may still be in its last step when the next one begins."""

    @property
    def tracker(self) -> Tracker:
        """The tracks of the stream."""
        return self._tracker

    def run(
        self, source: bytes | RawImage, timestamp_ms: float, due: Callable[[int], bool], context: RequestContext
    ) -> SeenFrame:
        """Process the next frame.

        Args:
            source: The bytes of an image file, or raw pixels.
            timestamp_ms: Its time, later than that of the frame before.
            due: Returns whether to call a model for a track, by its id.
            context: Receives a span for each step; processing stops before the next step once it is cancelled.

        Raises:
            ImageError: The bytes are not an image that can be read; the tracks are as before.
            DeadlineExceededError: The deadline of the frame has passed.

        """
        with self._running, self._stage.opened(source, context, max_pixels=self._max_pixels) as image:
            now = scene(image.pixels)
            is_cut = self._scene is not None and now.differs(self._scene)
            self._scene = now
            ended = self._tracker.cut().ended if is_cut else ()
            self._tracker.advance(timestamp_ms)
            self._since += 1
            changes, detected = self._follow(image, context)
            changes = Changes(changes.started, [*ended, *changes.ended], changes.truncated)
            tracks = self._tracker.visible
            faces = _faces(tracks, detected)
            measured = detected is not None or any(due(track.id) for track in tracks)
            with context.spans.step("quality"):
                quality = self._judge(image, tracks, faces, measured=measured)
            return SeenFrame(
                image_info(image, faces.searched),
                tracks,
                faces,
                quality,
                changes,
                detected=detected is not None,
                cut=is_cut,
                pixels=image.pixels,
                shrunk=image.shrunk,
            )

    def _judge(self, image: DecodedImage, tracks: Sequence[Track], faces: Faces, *, measured: bool) -> Quality:
        """Return the quality of the faces; sharpness is measured only if it is used, otherwise the last one is kept."""
        if not measured and all(track.id in self._sharpness for track in tracks):
            return self._stage.compare(faces, np.array([self._sharpness[track.id] for track in tracks], np.float32))
        quality = self._stage.judge(image, faces)
        self._sharpness = dict(zip((track.id for track in tracks), quality.sharpness.tolist(), strict=True))
        return quality

    def _follow(self, image: DecodedImage, context: RequestContext) -> tuple[Changes, Faces | None]:
        """Search for the faces; detect if the interval is over or the search fails. Also return the detections."""
        if self._since < self._due() and not self._tracker.undecided:
            with context.spans.step("search"):
                boxes = self._search(image)
            if len(boxes) == len(self._templates) and not _crossing(boxes):
                return self._tracker.searched(boxes), None
        check_cancelled(context)
        with context.spans.step("detect"):
            found = detect(self._stage.detector, image.pixels).scaled(image.shrunk)
        changes = self._tracker.detected(found)
        self._since = 0
        self._templates = {
            track.id: template(image.pixels, track.box / image.shrunk) for track in self._tracker.visible
        }
        return changes, found

    def _due(self) -> int:
        """Return the interval of the detector in frames: shorter while a face is hidden."""
        return min(self._interval, _HIDING_INTERVAL) if self._tracker.hiding else self._interval

    def _search(self, image: DecodedImage) -> Mapping[int, Floats]:
        """Return the boxes of faces that match their template, by track id."""
        boxes: dict[int, Floats] = {}
        for track in self._tracker.tracks:
            shape = self._templates.get(track.id)
            if shape is not None:
                box, alike = search(image.pixels, shape, track.box / image.shrunk)
                if alike >= _ALIKE:
                    boxes[track.id] = box * image.shrunk
        return boxes


def _crossing(boxes: Mapping[int, Floats]) -> bool:
    """Return whether two faces overlap: a search could find the one in front for both."""
    if len(boxes) < 2:
        return False
    shared = overlaps(stacked := np.stack(list(boxes.values())), stacked)
    return bool((np.triu(shared, 1) > _APART).any())


def detect(detector: Detector, pixels: NDArray[np.uint8]) -> Faces:
    """Detect faces, weak ones included if the detector has scores."""
    if isinstance(detector, Pyramid):
        return detector.detect_with_weak(pixels, WEAK * detector.min_score)
    return detector.detect(pixels)


def strong_score(detector: Detector) -> float:
    """Return the score from which a detection may start a track."""
    return detector.min_score if isinstance(detector, Pyramid) else 0.0


def _faces(tracks: Sequence[Track], found: Faces | None) -> Faces:
    """Return the tracks' faces as they are now."""
    boxes = np.array([track.box for track in tracks], np.float32).reshape(-1, 4)
    marks = [track.landmarks for track in tracks]
    points = np.array(marks, np.float32) if tracks and all(mark is not None for mark in marks) else None
    scores = np.array([track.score for track in tracks], np.float32)
    return Faces(boxes, points, scores, None if found is None else found.searched)
