"""Follow faces from frame to frame: which detection belongs to which track, and where a face is between detections.

Each track has a constant-velocity Kalman filter for its box, as in SORT (Bewley et al., arXiv 1602.00763), with noise
relative to the face's height as in DeepSORT (Wojke et al., arXiv 1703.07402). Detections are assigned by overlap and
landmarks, in two stages as in ByteTrack (Zhang et al., arXiv 2110.06864): confident detections first, then weak ones,
which keep tracks alive but start none. The assignment is the best one (Kuhn-Munkres), so the result does not depend on
the order of the detections.

Pure and deterministic: NumPy alone, no clock, no randomness. Times are those of the frames.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien_models.faces import Faces

Floats = NDArray[np.float64]

_POSITION_NOISE = 0.025
"""Standard deviation of a measured box's position and size, relative to its height. Measured: 1 to 3 %."""

_SEARCH_NOISE = 0.035
"""The same for a box that a search found."""

_WEAK_NOISE = 0.1
"""The same for a weak detection: mostly of a face that is partly covered or leaves the picture."""

_PATH_MS = 800.0
"""Time over which the mean velocity of a face is taken when it is hidden."""

_HIDDEN_REACH, _HIDDEN_SPEED = 0.3, 0.6
"""Distance from its predicted place at which a hidden face may appear again, in heights, and more per second."""

_HIDDEN_GROWTH = 1.6
"""Maximum ratio of its heights before and after."""

_ACCELERATION = 3.0
"""Density of the random acceleration of a face, in heights / s^1.5: people turn and stop, cameras shake."""

_GROWTH = 0.4
"""The same for a face's width and height."""

_START_SPEED = 1.5
"""Standard deviation of a new face's velocity, in heights per second."""

_START_GROWTH = 0.3

_LANDMARK_SCALE = 0.35
"""Mean distance of the five points, in heights, at which their similarity is 1/e."""

_LANDMARKS_WEIGHT = 0.5
"""Weight of the landmarks' similarity beside that of the overlap."""


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


@dataclass(slots=True)
class Track:
    """One face; times are in milliseconds, as the timestamps of the frames."""

    id: int
    """From 1; 0 until it is confirmed."""
    first_ms: float
    seen_ms: float
    """Time of the last frame that shows the face."""
    state: Floats
    """(4, 2) centre x, centre y, width and height in pixels, each with its change per second."""
    covariance: Floats
    """(4, 2, 2)"""
    points: Floats | None
    """(5, 2) landmarks relative to the box: 0 to 1 from its left and top edge."""
    score: float
    """Mean score of its detections until it is confirmed, then that of the last one."""
    hits: int = 1
    """Detections so far."""
    frames: int = 1
    """Frames that show the face."""
    visible: bool = True
    """Whether the last frame shows the face."""
    path: deque[tuple[float, float, float]] = field(default_factory=deque)
    """Times and centres of the last confident detections."""

    @property
    def box(self) -> Floats:
        """(4,) x, y, width, height in pixels."""
        centre_x, centre_y, width, height = self.state[:, 0].tolist()
        return np.array([centre_x - width / 2, centre_y - height / 2, width, height])

    @property
    def landmarks(self) -> Floats | None:
        """(5, 2) in pixels."""
        box = self.box
        return None if self.points is None else box[:2] + self.points * box[2:]


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
            _predict(track, seconds)

    def detected(self, faces: Faces) -> Changes:
        """Update the tracks with the detections of the frame; call `advance` first."""
        found = _Found.of(faces)
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
                _correct(track, box, _SEARCH_NOISE)
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
        self, tracks: Sequence[Track], found: "_Found", places: NDArray[np.intp], least: float
    ) -> dict[int, int]:
        """Return the index of the assigned detection of each track, by `id(track)`."""
        if not tracks or not len(places):
            return {}
        alike = _similarity(tracks, found, places)
        rows, columns = assign(np.where(alike >= least, alike, 0.0))
        return {
            id(tracks[row]): int(places[column])
            for row, column in zip(rows, columns, strict=True)
            if alike[row, column] >= least
        }

    def _recover(
        self, hidden: Sequence[Track], found: "_Found", strong: NDArray[np.intp], pairs: Mapping[int, int]
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

    def _hit(self, track: Track, found: "_Found", place: int) -> None:
        sure = found.scores[place] >= self.options.strong_score
        _correct(track, found.boxes[place], _POSITION_NOISE if sure else _WEAK_NOISE)
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

    def _changed(self, found: "_Found", unassigned: Sequence[int]) -> Changes:
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
            self.tracks.append(_born(found, place, self.now_ms))
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


@dataclass(frozen=True, slots=True)
class _Found:
    """Detections in double precision."""

    boxes: Floats
    points: Floats | None
    scores: Floats

    @classmethod
    def of(cls, faces: Faces) -> "_Found":
        scores = np.ones(len(faces)) if faces.scores is None else faces.scores
        points = None if faces.points is None else faces.points.astype(np.float64)
        return cls(faces.boxes.astype(np.float64), points, scores.astype(np.float64))


def _born(found: _Found, place: int, now_ms: float) -> Track:
    x, y, width, height = found.boxes[place].tolist()
    state = np.array([[x + width / 2, 0], [y + height / 2, 0], [width, 0], [height, 0]], np.float64)
    speeds = np.array([_START_SPEED, _START_SPEED, _START_GROWTH, _START_GROWTH]) * height
    covariance = np.zeros((4, 2, 2))
    covariance[:, 0, 0] = (_POSITION_NOISE * height) ** 2
    covariance[:, 1, 1] = speeds**2
    points = None if found.points is None else (found.points[place] - [x, y]) / [width, height]
    return Track(0, now_ms, now_ms, state, covariance, points, float(found.scores[place]))


def _predict(track: Track, seconds: float) -> None:
    """Predict a track by constant velocity, with the process noise of a random acceleration."""
    step = np.array([[1.0, seconds], [0.0, 1.0]])
    if not track.visible:
        track.state[2:, 1] = 0.0  # an occlusion changes the size of the box, not the distance of the face
    track.state = track.state @ step.T
    height = max(track.state[3, 0], 1.0)
    track.state[2:, 0] = np.maximum(track.state[2:, 0], 1.0)
    density = (np.array([_ACCELERATION, _ACCELERATION, _GROWTH, _GROWTH]) * height) ** 2
    noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
    track.covariance = step @ track.covariance @ step.T + density[:, None, None] * noise


def _correct(track: Track, box: Floats, noise: float) -> None:
    """Correct a track by a measured box (4,) x, y, width, height; `noise` is relative to its height."""
    measured = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2, box[2], box[3]])
    variance = (noise * max(track.state[3, 0], 1.0)) ** 2
    gain = track.covariance[:, :, 0] / (track.covariance[:, 0, 0] + variance)[:, None]
    track.state = track.state + gain * (measured - track.state[:, 0])[:, None]
    track.state[2:, 0] = np.maximum(track.state[2:, 0], 1.0)
    track.covariance = track.covariance - gain[:, :, None] * track.covariance[:, None, 0, :]


def _similarity(tracks: Sequence[Track], found: _Found, places: NDArray[np.intp]) -> Floats:
    """Return (T, D) the similarity of tracks and detections, 0 to 1: of their overlap and of their landmarks."""
    overlap = overlaps(np.stack([track.box for track in tracks]), found.boxes[places])
    if found.points is None or any(track.points is None for track in tracks):
        return overlap
    ours = np.stack([track.landmarks for track in tracks if track.landmarks is not None])
    apart = np.linalg.norm(ours[:, None] - found.points[places][None], axis=3).mean(2)
    heights = np.array([track.state[3, 0] for track in tracks])[:, None]
    near = np.exp(-apart / (_LANDMARK_SCALE * heights))
    both: Floats = (1 - _LANDMARKS_WEIGHT) * overlap + _LANDMARKS_WEIGHT * near
    return both


def overlaps(first: Floats, second: Floats) -> Floats:
    """Return (N, M) the intersection over union of boxes (N, 4) and (M, 4): x, y, width, height."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None]
    shared: Floats = common / np.maximum(areas - common, 1e-9)
    return shared


def assign(gain: Floats) -> tuple[list[int], list[int]]:
    """Return the rows and columns of the assignment with the greatest sum of gains (N, M).

    Every row, or every column if there are fewer of them, is assigned. The algorithm of Kuhn and Munkres with shortest
    augmenting paths, O(N^2 M); as `scipy.optimize.linear_sum_assignment(gain, maximize=True)`; SciPy has 100 MB.
    """
    if gain.shape[0] > gain.shape[1]:
        columns, rows = assign(gain.T)
        order = np.argsort(rows, kind="stable").tolist()
        return [rows[place] for place in order], [columns[place] for place in order]
    count, width = gain.shape
    cost = -gain
    row_potential, column_potential = np.zeros(count), np.zeros(width)
    owner = np.full(width, -1)
    for start in range(count):
        shortest, previous = np.full(width, np.inf), np.full(width, -1)
        done = np.zeros(width, bool)
        row, column, length = start, -1, 0.0
        while True:
            slack = length + cost[row] - row_potential[row] - column_potential
            better = ~done & (slack < shortest)
            shortest[better], previous[better] = slack[better], column
            column = int(np.where(done, np.inf, shortest).argmin())
            length = float(shortest[column])
            done[column] = True
            if owner[column] < 0:
                break
            row = int(owner[column])
        row_potential[start] += length
        for other in np.flatnonzero(done).tolist():
            if owner[other] >= 0:
                row_potential[owner[other]] += length - shortest[other]
            column_potential[other] -= length - shortest[other]
        while column >= 0:
            before = int(previous[column])
            owner[column] = owner[before] if before >= 0 else start
            column = before
    assigned = [(int(row), column) for column, row in enumerate(owner) if row >= 0]
    return [row for row, _ in sorted(assigned)], [column for _, column in sorted(assigned)]
