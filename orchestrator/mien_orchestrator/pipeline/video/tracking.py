"""Track faces from frame to frame: assign detections to tracks, and predict boxes between detections.

Each track has a Kalman filter (`track.py`). Detections are assigned by overlap and landmarks (`assignment.py`), in two
stages as in ByteTrack (Zhang et al., arXiv 2110.06864): confident detections first, then weak ones, which keep tracks
alive but start none. The assignment is optimal, so the result does not depend on the order of the detections.

Pure and deterministic: NumPy alone, no clock, no randomness. Times are those of the frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces
from mien_orchestrator.pipeline.video.assignment import assign, overlaps, similarity
from mien_orchestrator.pipeline.video.track import (
    POSITION_NOISE,
    Detections,
    Floats,
    Track,
    correct,
    new_track,
    predict,
)

_SEARCH_NOISE = 0.035
"""`POSITION_NOISE` for a box that a search found."""

_WEAK_NOISE = 0.1
"""`POSITION_NOISE` for a weak detection: mostly of a face that is partly covered or leaves the picture."""

_PATH_MS = 800.0
"""Time over which the mean velocity of a face is taken when it is hidden."""

_HIDDEN_REACH, _HIDDEN_SPEED = 0.3, 0.6
"""Distance from its predicted place at which a hidden face may appear again, in heights, and more per second."""

_HIDDEN_GROWTH = 1.6
"""Maximum ratio of its heights before and after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerOptions:
    """When tracks begin and end."""

    max_faces: int = 100
    """Maximum number of tracks at the same time."""
    strong_score: float = 0.0
    """Score from which a detection may start a track, and is assigned first; the detector's own threshold."""
    least_similarity: float = 0.2
    """Minimum similarity of a confident detection and its track."""
    least_weak_similarity: float = 0.5
    """Minimum similarity of a weak detection and its track."""
    least_overlap: float = 0.3
    """Overlap from which a detection is of a face that already has a track."""
    confirmations: Sequence[tuple[int, float]] = ((2, 0.5), (4, 0.3), (10, 0.17))
    """Detections after which a new face is reported, each with the least mean score, from 0 at `strong_score` to 1:
    false detections have low scores, and rarely persist. In the first frame, and after a cut, the first of them needs
    only one detection."""
    max_hidden_ms: float = 1500.0
    """Maximum time for which a face may be hidden, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The tracks that a frame started and ended."""

    started: Sequence[Track] = ()
    ended: Sequence[Track] = ()
    truncated: bool = False
    """Whether there were more faces than `max_faces`."""


@dataclass(slots=True)
class Tracker:
    """The tracks of one stream. Per frame: `advance`, then `detected`, `searched` or `cut`."""

    options: TrackerOptions = field(default_factory=TrackerOptions)
    next_id: int = 1
    tracks: list[Track] = field(default_factory=list)
    """All tracks, unconfirmed and hidden ones included."""
    now_ms: float | None = None
    """Time of the last frame."""
    _fresh: bool = True
    """Whether the next detections are the first of a scene, which need no confirmation."""

    @property
    def visible(self) -> list[Track]:
        """The confirmed tracks that the last frame shows, by id."""
        return sorted((track for track in self.tracks if track.id and track.visible), key=lambda track: track.id)

    @property
    def undecided(self) -> bool:
        """Whether to detect now: there was no detection yet, or one more can confirm a new face."""
        return self._fresh or any(not track.id and self._sure(track, track.hits + 1) for track in self.tracks)

    @property
    def hiding(self) -> bool:
        """Whether a face is hidden, and may appear again."""
        return any(track.id and not track.visible for track in self.tracks)

    def advance(self, now_ms: float) -> None:
        """Predict all tracks at the time of the next frame, which must be later than the last one."""
        seconds = 0.0 if self.now_ms is None else (now_ms - self.now_ms) / 1e3
        self.now_ms = now_ms
        for track in self.tracks:
            predict(track, seconds)

    def detected(self, faces: Faces) -> Changes:
        """Update the tracks with the detections of the frame; call `advance` first."""
        found = Detections.of(faces)
        strong = np.flatnonzero(found.scores >= self.options.strong_score)
        weak = np.flatnonzero(found.scores < self.options.strong_score)
        pairs = self._assign(self.tracks, found, strong, self.options.least_similarity)
        rest = [track for track in self.tracks if id(track) not in pairs and track.id]
        pairs |= self._assign(rest, found, weak, self.options.least_weak_similarity)
        pairs |= self._recover([track for track in rest if id(track) not in pairs], found, strong, pairs)
        for track in self.tracks:
            if id(track) in pairs:
                self._hit(track, found, pairs[id(track)])
            else:
                self._hide(track)
        return self._changed(found, [place for place in strong.tolist() if place not in pairs.values()])

    def searched(self, boxes: Mapping[int, Floats]) -> Changes:
        """Update the tracks with the boxes (4,) found by a search, by track id; the other tracks become hidden."""
        for track in self.tracks:
            box = boxes.get(track.id) if track.id else None
            if box is None:
                self._hide(track)
            else:
                correct(track, box, _SEARCH_NOISE)
                self._show(track)
        return Changes(ended=self._end_hidden())

    def resume(self, next_id: int, now_ms: float, tracks: Sequence[Track]) -> None:
        """Continue the tracks of another tracker."""
        self.next_id = max(next_id, 1 + max((track.id for track in tracks), default=0))
        self.now_ms, self.tracks, self._fresh = now_ms, list(tracks), not tracks

    def cut(self) -> Changes:
        """End all tracks: the frame shows another scene."""
        ended = [track for track in self.tracks if track.id]
        self.tracks, self._fresh = [], True
        return Changes(ended=ended)

    def _assign(
        self, tracks: Sequence[Track], found: Detections, places: NDArray[np.intp], least: float
    ) -> dict[int, int]:
        """Return the index of the assigned detection of each track, by `id(track)`."""
        if not tracks or not len(places):
            return {}
        alike = similarity(tracks, found, places)
        rows, columns = assign(np.where(alike >= least, alike, 0.0))
        return {
            id(tracks[row]): int(places[column])
            for row, column in zip(rows, columns, strict=True)
            if alike[row, column] >= least
        }

    def _recover(
        self, hidden: Sequence[Track], found: Detections, strong: NDArray[np.intp], pairs: Mapping[int, int]
    ) -> dict[int, int]:
        """Return the index of a new face within reach of each hidden track, by `id(track)`."""
        places = np.array([place for place in strong.tolist() if place not in pairs.values()], np.intp)
        hidden = [track for track in hidden if not track.visible]
        if not hidden or not len(places):
            return {}
        boxes = found.boxes[places]
        middles = boxes[:, :2] + boxes[:, 2:] / 2
        near = np.zeros((len(hidden), len(places)))
        for row, track in enumerate(hidden):
            centre, height = track.state[:2, 0], track.state[3, 0]
            reach = height * (_HIDDEN_REACH + _HIDDEN_SPEED * ((self.now_ms or 0.0) - track.seen_ms) / 1e3)
            apart = np.linalg.norm(middles - centre, axis=1)
            alike = np.abs(np.log(boxes[:, 3] / height)) < np.log(_HIDDEN_GROWTH)
            near[row] = np.where(alike, np.clip(1 - apart / reach, 0, None), 0)
        rows, columns = assign(near)
        return {
            id(hidden[row]): int(places[column])
            for row, column in zip(rows, columns, strict=True)
            if near[row, column] > 0
        }

    def _hit(self, track: Track, found: Detections, place: int) -> None:
        sure = found.scores[place] >= self.options.strong_score
        correct(track, found.boxes[place], POSITION_NOISE if sure else _WEAK_NOISE)
        if found.points is not None:
            seen = (found.points[place] - found.boxes[place, :2]) / found.boxes[place, 2:]
            track.points = seen if track.points is None else 0.5 * (track.points + seen)
        if sure:
            x, y, width, height = found.boxes[place].tolist()
            track.path.append((self.now_ms or 0.0, x + width / 2, y + height / 2))
            while track.path[-1][0] - track.path[0][0] > _PATH_MS:
                track.path.popleft()
        track.hits += 1
        score = float(found.scores[place])
        track.score = score if track.id else track.score + (score - track.score) / track.hits
        self._show(track)

    def _hide(self, track: Track) -> None:
        """Hide a track, and continue with its mean velocity: an occlusion distorts that of the last frames."""
        if track.visible and len(track.path) > 1:
            (began_ms, *began), (ended_ms, *ended) = track.path[0], track.path[-1]
            track.state[:2, 1] = (np.array(ended) - began) / (ended_ms - began_ms) * 1e3
            track.state[:2, 0] = ended + track.state[:2, 1] * ((self.now_ms or 0.0) - ended_ms) / 1e3
        track.visible = False

    def _show(self, track: Track) -> None:
        assert self.now_ms is not None
        track.visible, track.seen_ms = True, self.now_ms
        track.frames += 1

    def _changed(self, found: Detections, unassigned: Sequence[int]) -> Changes:
        """Start tracks for new faces, largest first; confirm tracks detected again; end hidden ones."""
        assert self.now_ms is not None
        truncated = False
        for place in sorted(unassigned, key=lambda place: -found.boxes[place, 2] * found.boxes[place, 3]):
            shown = [track.box for track in self.tracks if track.visible]
            if shown and overlaps(found.boxes[place][None], np.stack(shown)).max() >= self.options.least_overlap:
                continue  # a second box of a face that already has a track
            if len(self.tracks) >= self.options.max_faces:
                truncated = True
                break
            self.tracks.append(new_track(found, place, self.now_ms))
        extra = int(self._fresh)
        started = [track for track in self.tracks if not track.id and self._sure(track, track.hits + extra)]
        for track in started:
            track.id, self.next_id = self.next_id, self.next_id + 1
        self.tracks = [track for track in self.tracks if track.id or track.visible]
        self._fresh = False
        return Changes(started, self._end_hidden(), truncated)

    def _sure(self, track: Track, hits: int) -> bool:
        """Return whether this many detections confirm a track."""
        strong = self.options.strong_score
        score = (track.score - strong) / (1 - strong)
        return any(hits >= count and score >= least for count, least in self.options.confirmations)

    def _end_hidden(self) -> list[Track]:
        assert self.now_ms is not None
        ended = [t for t in self.tracks if t.id and self.now_ms - t.seen_ms > self.options.max_hidden_ms]
        self.tracks = [track for track in self.tracks if track not in ended]
        return ended
