"""Discrete-event simulation of a Mien cluster: arrivals, orchestrators, batching workers, autoscaling.

A request waits for a core of its orchestrator (decoding and detection), then makes one call to each pool of workers,
which run the calls that have arrived meanwhile as one batch, and ends with the last reply. The numbers of replicas
follow the calls in flight as in the real cluster, with the policy, the bounds and the delays of Ray Serve
(`ray.serve.autoscaling_policy`), and the time that a replica takes to start.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mien_orchestrator.settings.scaling import ScalingSettings

Rate = Callable[[float], float]
"""Requests per second at a time, in seconds from the start."""


@dataclass(frozen=True, slots=True)
class Photograph:
    """Work of one photograph."""

    front_s: float
    """Decoding, detection, cropping and merging: seconds of one core of an orchestrator."""
    faces: int
    """Number of faces; every task predicts all of them."""


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A deployment."""

    name: str
    scaling: ScalingSettings
    call_s: float = 0.0
    """Seconds per batch."""
    face_s: float = 0.0
    """Seconds per face."""
    max_batch: int = 32
    """Faces in one batch."""
    cores: int = 1
    """Batches that a replica runs at once, each on a core of its own."""
    limit: int = 1_000_000
    """Calls in flight per replica, above which further calls are refused."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster: orchestrators, and one pool of workers per model."""

    orchestrators: PoolSpec
    workers: tuple[PoolSpec, ...]
    start_s: float
    """Seconds from the decision for a replica to its first call."""
    deadline_s: float
    """Replies that take longer are late."""


@dataclass(slots=True)
class Outcome:
    """What happened."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    """(arrival, seconds) of every answered request."""
    refused: list[float] = field(default_factory=list)
    """Arrivals of the refused ones."""
    replicas: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    """Replicas per pool, and `cores` of all, every second: those that have been started and not yet stopped."""

    def quantile(self, share: float, since: float = 0.0, until: float = math.inf) -> float:
        """Return a quantile of the latencies of requests that arrived in a period, in seconds; NaN without one."""
        chosen = sorted(latency for arrival, latency in self.latencies if since <= arrival < until)
        return chosen[min(int(share * len(chosen)), len(chosen) - 1)] if chosen else math.nan

    def late(self, deadline_s: float) -> int:
        """Return the number of answers that took longer."""
        return sum(latency > deadline_s for _, latency in self.latencies)


class Delays:
    """Ray Serve's delays: the target changes once the change has been wanted for `upscale_delay_s` without a break."""

    def __init__(self, scaling: ScalingSettings) -> None:
        self._scaling = scaling
        self._since: float | None = None
        self._direction = 0

    def target(self, wanted: int, current: int, now: float) -> int:
        """Return the new target for a wanted number of replicas."""
        direction = (wanted > current) - (wanted < current)
        if direction != self._direction or not direction:
            self._direction, self._since = direction, now if direction else None
        if self._since is None:
            return current
        if direction < 0 and current > 1:
            wanted = max(1, wanted)
        delay = self._scaling.upscale_delay_s if direction > 0 else self._scaling.downscale_delay_s
        if current == 0 and direction > 0:
            delay = 0.0
        if now - self._since + 1e-6 < delay:
            return current
        self._direction, self._since = 0, None
        return wanted


class _Replica:
    """Serves its queue in order, in batches of up to `max_batch` faces, on one or more cores."""

    __slots__ = ("alive", "busy", "in_flight", "queue", "ready_at")

    def __init__(self, ready_at: float) -> None:
        self.ready_at = ready_at
        self.queue: deque[_Call] = deque()
        self.in_flight = 0
        self.busy = 0
        self.alive = True


@dataclass(slots=True)
class _Call:
    """One call to a replica."""

    seconds: float
    """Own work in seconds; 0 for workers, whose work is that of the batch."""
    faces: int
    done: Callable[[], None]
    held: bool = False
    """Whether it stays in flight after its work, until `release`."""
    replica: _Replica | None = None

    def release(self) -> None:
        """End the call: the replica has one less in flight."""
        if self.replica is not None:
            self.replica.in_flight -= 1


class _Pool:
    def __init__(self, spec: PoolSpec, simulation: "Simulation") -> None:
        self.spec, self._simulation = spec, simulation
        self.replicas = [_Replica(0.0) for _ in range(max(1, spec.scaling.min_replicas))]
        self.delays = Delays(spec.scaling)
        self._reports: deque[tuple[float, int]] = deque()

    def call(self, call: _Call) -> bool:
        """Send a call to the less loaded of two random replicas; return False if it is refused."""
        replica = self._choose()
        if replica is None or replica.in_flight >= self.spec.limit:
            return False
        replica.in_flight += 1
        call.replica = replica
        replica.queue.append(call)
        self._serve(replica)
        return True

    def _choose(self) -> _Replica | None:
        now, random_ = self._simulation.now, self._simulation.random
        ready = [replica for replica in self.replicas if replica.ready_at <= now]
        if not ready:
            return min(self.replicas, key=lambda replica: replica.ready_at, default=None)
        first, second = random_.choice(ready), random_.choice(ready)
        return first if first.in_flight <= second.in_flight else second

    def _serve(self, replica: _Replica) -> None:
        if replica.busy >= self.spec.cores or not replica.queue or not replica.alive:
            return
        if replica.ready_at > self._simulation.now:
            self._simulation.at(replica.ready_at, lambda: self._serve(replica))
            return
        batch = [replica.queue.popleft()]
        faces = batch[0].faces
        if not batch[0].seconds:
            while replica.queue and faces + replica.queue[0].faces <= self.spec.max_batch:
                batch.append(replica.queue.popleft())
                faces += batch[-1].faces
        seconds = batch[0].seconds or self.spec.call_s + faces * self.spec.face_s
        replica.busy += 1
        self._simulation.at(self._simulation.now + seconds, lambda: self._finish(replica, batch))

    def _finish(self, replica: _Replica, batch: list[_Call]) -> None:
        replica.busy -= 1
        if not replica.alive:  # lost meanwhile: its work is repeated elsewhere
            for call in batch:
                self.call(call)
            return
        for call in batch:
            if not call.held:
                call.release()
            call.done()
        self._serve(replica)

    def scale(self) -> None:
        """Report the calls in flight, and follow the policy."""
        now, scaling = self._simulation.now, self.spec.scaling
        self._reports.append((now, sum(replica.in_flight for replica in self.replicas)))
        while self._reports[0][0] <= now - scaling.look_back_period_s:
            self._reports.popleft()
        mean = sum(count for _, count in self._reports) / len(self._reports)
        wanted = math.ceil(mean / scaling.target_ongoing_requests)
        wanted = min(max(wanted, scaling.min_replicas), scaling.max_replicas)
        self._resize(self.delays.target(wanted, len(self.replicas), now))

    def _resize(self, count: int) -> None:
        now = self._simulation.now
        while len(self.replicas) < count:
            self.replicas.append(_Replica(now + self._simulation.spec.start_s))
        while len(self.replicas) > count:
            self._remove(max(self.replicas, key=lambda replica: (replica.ready_at, -replica.in_flight)), drained=True)

    def lose(self, share: float) -> None:
        """Stop a share of the replicas at once; their calls go to others, and replacements start."""
        lost = self.replicas[: math.ceil(share * len(self.replicas))]
        for replica in lost:
            self._remove(replica, drained=False)
        self._resize(len(self.replicas) + len(lost))
        for replica in lost:
            waiting, replica.queue = replica.queue, deque()
            for call in waiting:
                self.call(call)

    def _remove(self, replica: _Replica, *, drained: bool) -> None:
        self.replicas.remove(replica)
        replica.alive = drained  # a drained replica finishes its queue


class Simulation:
    """One run; deterministic for a seed."""

    def __init__(self, spec: ClusterSpec, photographs: Sequence[Photograph], rate: Rate, *, seed: int = 0) -> None:
        self.spec, self._photographs, self._rate = spec, photographs, rate
        self.random = random.Random(seed)
        self.now = 0.0
        self.outcome = Outcome()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._orchestrators = _Pool(spec.orchestrators, self)
        self._workers = [_Pool(worker, self) for worker in spec.workers]

    @property
    def _pools(self) -> list[_Pool]:
        return [self._orchestrators, *self._workers]

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Schedule a function."""
        self._sequence += 1
        heapq.heappush(self._events, (time, self._sequence, action))

    def run(self, seconds: float, *, peak: float, lose: tuple[float, float] | None = None) -> Outcome:
        """Simulate arrivals for `seconds`, at most `peak` a second, and run until all of them have finished.

        `lose`: a time and the share of all replicas that are lost then.
        """
        self.at(self.random.expovariate(peak), lambda: self._arrive(seconds, peak))
        self.at(0.0, lambda: self._tick(seconds))
        if lose is not None:
            moment, share = lose
            self.at(moment, lambda: [pool.lose(share) for pool in self._pools] and None)
        while self._events:
            self.now, _, action = heapq.heappop(self._events)
            action()
        return self.outcome

    def _arrive(self, seconds: float, peak: float) -> None:
        """Thin a Poisson stream of the highest rate to the rate of this moment (Lewis & Shedler, 1979)."""
        following = self.now + self.random.expovariate(peak)
        if following < seconds:
            self.at(following, lambda: self._arrive(seconds, peak))
        if self.random.random() * peak <= self._rate(self.now):
            self._request(self.random.choice(self._photographs))

    def _request(self, photograph: Photograph) -> None:
        arrival = self.now
        missing = len(self._workers) if photograph.faces else 0

        def answered() -> None:
            nonlocal missing
            missing -= 1
            if missing <= 0:
                front.release()
                self.outcome.latencies.append((arrival, self.now - arrival))

        def fan_out() -> None:
            if not missing:
                answered()
                return
            for pool in self._workers:
                pool.call(_Call(0.0, photograph.faces, answered))

        front = _Call(photograph.front_s, photograph.faces, fan_out, held=True)
        if not self._orchestrators.call(front):
            self.outcome.refused.append(arrival)

    def _tick(self, seconds: float) -> None:
        for pool in self._pools:
            pool.scale()
        counts = {pool.spec.name: len(pool.replicas) for pool in self._pools}
        cores = sum(pool.spec.cores * len(pool.replicas) for pool in self._pools)
        self.outcome.replicas.append((self.now, counts | {"cores": cores}))
        if self.now + 1 < seconds:
            self.at(self.now + 1, lambda: self._tick(seconds))
