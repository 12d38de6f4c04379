"""Removes replicas that no row wants, and keeps their logs. No transaction is open here."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from deployments.models import PLACED, Deployment, DeploymentLog
from deployments.output.missing import KEPT_ATTEMPTS
from deployments.reconciler.observation import EndpointView, Observation, Replica, in_parallel
from deployments.runtimes.base import (
    AnswerTooLarge,
    Key,
    LimitExceeded,
    OutOfTime,
    Phase,
    Runtime,
    RuntimeUnavailable,
)
from deployments.runtimes.log_lines import Line, LineReader, packed
from deployments.runtimes.streams import from_whole_letter

logger = logging.getLogger(__name__)

KEPT_LINES, KEPT_BYTES = 5000, 256 * 1024  # of the log of each replica
FEW_LINES = 200  # of a log whose lines are long: an engine cuts them at 16 KiB
LOG_S, LOG_BYTES = 5.0, 4 * 1024 * 1024  # to read, until the kept end of it is reached
MOST_LOGS_AT_ONCE = 32  # in memory
COLUMNS = ("attempt", "status", "cpu_milli", "ram_mib", "gpu")
T = TypeVar("T")


class Orphan(NamedTuple):
    """A replica that no row wants. `known`: its deployment exists, and it is no copy."""

    endpoint_view: EndpointView
    key: Key
    id: str
    known: bool


class Removal(NamedTuple):
    """`killed`: the ids of deployments whose orphans have been killed, and need another look.
    `leftovers`: orphans that may take space for another moment, as node id and deployment."""

    killed: set[str]
    leftovers: list[tuple[str, Deployment]]


def remove_orphans(observation: Observation) -> Removal:
    """Kill orphans that run, and remove those that have ended, after keeping their logs.

    The replicas were observed before the rows are read here, so a replica that was started
    meanwhile is no orphan. One query, and one more for every 32 replicas whose logs are kept.
    """
    observed = list(observation.replica_statuses())
    if not observed:
        return Removal(set(), [])
    ids = {status.key.deployment_id for _, status in observed}
    rows = {
        str(row.pk): row
        for row in Deployment.objects.filter(pk__in=ids, cluster=observation.cluster).only(*COLUMNS)
    }
    ended: list[Orphan] = []
    running: list[Orphan] = []
    leftovers: list[tuple[str, Deployment]] = []
    for endpoint_view, status in observed:
        key = status.key
        row = rows.get(key.deployment_id)
        is_copy = endpoint_view.replica_statuses.get(key) is not status
        if row and row.attempt == key.attempt and row.status in PLACED and not is_copy:
            continue
        known = row is not None and not is_copy  # what a copy has written is not the replica's
        orphan = Orphan(endpoint_view, key, status.id, known)
        if status.phase == Phase.ENDED:
            ended.append(orphan)
            continue
        running.append(orphan)
        node_id = observation.node_id_of(endpoint_view, status)
        if row and node_id:
            leftovers.append((node_id, row))
    for batch in _batches(ended):
        kept = [each for each in batch if each.key in observation.logs_kept]
        kept += _keep([each for each in batch if each.key not in observation.logs_kept])
        in_parallel("remove", _remove, kept)
    results = in_parallel("kill", _kill, running)
    killed = {each.key.deployment_id for each, done in zip(running, results, strict=True) if done}
    return Removal(killed, leftovers)


def keep_logs(observation: Observation, ending: Sequence[tuple[Deployment, list[Replica]]]) -> None:
    """Keep the logs of replicas that have ended, before the rows say that the deployment has ended:
    a client that waits for the end reads the logs next. One query for every 32 replicas."""
    ended = [
        Orphan(endpoint_view, each.status.key, each.status.id, known=True)
        for _, replicas in ending
        for each in replicas
        if each.status is not None
        and each.status.phase == Phase.ENDED
        and (endpoint_view := observation.endpoint_view_of(each.node)) is not None
    ]
    for batch in _batches(ended):
        observation.logs_kept.update(each.key for each in _keep(batch))


def tidy(observation: Observation) -> None:
    """Remove what is at the endpoints besides replicas; an endpoint that fails is passed over."""
    in_parallel("tidy", _tidy, observation.endpoint_views.values())


def _tidy(endpoint_view: EndpointView) -> None:
    if endpoint_view.runtime is not None and not endpoint_view.error:
        with suppress(RuntimeUnavailable):
            endpoint_view.runtime.tidy()


def _batches(orphans: Sequence[Orphan]) -> Iterator[Sequence[Orphan]]:
    for start in range(0, len(orphans), MOST_LOGS_AT_ONCE):
        yield orphans[start : start + MOST_LOGS_AT_ONCE]


def _keep(ended: Sequence[Orphan]) -> list[Orphan]:
    """Store the logs, each once; returns those whose endpoint has answered."""
    outputs = in_parallel("logs", _output, ended)
    answered = [(each, out) for each, out in zip(ended, outputs, strict=True) if out is not None]
    logs = [
        DeploymentLog(
            deployment_id=each.key.deployment_id,
            attempt=each.key.attempt,
            replica=each.key.replica,
            output=end.output,
            times=end.times,
        )
        for each, end in answered
        if each.known
    ]
    DeploymentLog.objects.bulk_create(logs, ignore_conflicts=True)
    for log in logs:
        if log.attempt > KEPT_ATTEMPTS:  # of a service that crashes again and again
            older = DeploymentLog.objects.filter(deployment=log.deployment_id)
            older.filter(attempt__lte=log.attempt - KEPT_ATTEMPTS).delete()
    return [each for each, _ in answered]


class _End(NamedTuple):
    output: bytes
    times: bytes | None = None  # of its lines, packed
    whole: bool = True  # whether it ends where the log does


def _output(orphan: Orphan) -> _End | None:
    """The end of the replica's log; None where the endpoint does not answer."""

    def read(runtime: Runtime) -> _End:
        if not orphan.known:
            return _End(b"")
        end = _end_of(_pieces(runtime, orphan, KEPT_LINES))
        return end if end.whole else _end_of(_pieces(runtime, orphan, FEW_LINES))

    return _call(orphan.endpoint_view, read)


def _pieces(runtime: Runtime, orphan: Orphan, lines: int) -> Iterator[bytes]:
    key, id_ = orphan.key, orphan.id
    return runtime.logs(key, id_, tail=lines, timestamps=True, within_s=LOG_S, most_bytes=LOG_BYTES)


def _end_of(pieces: Iterable[bytes]) -> _End:
    """About the last KEPT_BYTES of the lines, from a whole character on, with their times."""
    reader, last, size = LineReader(stamped=True), deque[Line](), 0
    more, whole = False, True

    def add(lines: Iterable[Line]) -> None:
        nonlocal size, more
        for line in lines:
            last.append(line)
            size += len(line.text)
            while len(last) > KEPT_LINES or size - len(last[0].text) >= KEPT_BYTES:
                size -= len(last.popleft().text)
                more = True

    try:
        for piece in pieces:
            add(reader.feed(piece))
    except AnswerTooLarge:
        whole = False
    add(reader.end())
    output = b"".join(line.text for line in last)
    if more or size > KEPT_BYTES:
        output = from_whole_letter(output[-KEPT_BYTES:])
    begun = [line.time for n, line in enumerate(last) if line.begins or n == 0]
    return _End(output, packed(begun), whole)


def _remove(orphan: Orphan) -> None:
    _call(orphan.endpoint_view, lambda runtime: runtime.remove(orphan.key, orphan.id))


def _kill(orphan: Orphan) -> bool:
    def kill(runtime: Runtime) -> bool:
        logger.info("an orphan is killed", extra=orphan.key._asdict())
        runtime.stop(orphan.key, 0, orphan.id)
        return True

    return _call(orphan.endpoint_view, kill) or False


def _call(endpoint_view: EndpointView, work: Callable[[Runtime], T]) -> T | None:
    """None, without a call, once the endpoint has failed in this round."""
    if endpoint_view.runtime is None or endpoint_view.error:
        return None
    try:
        return work(endpoint_view.runtime)
    except (LimitExceeded, OutOfTime) as error:
        endpoint_view.fail(error)
    except RuntimeUnavailable as error:
        endpoint_view.error = str(error)
    return None
