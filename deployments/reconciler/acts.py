"""What is told to the runtimes: start, stop, clear away. No transaction is open here."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

from django.utils import timezone

from clusters.models import Node
from deployments import reasons
from deployments.models import HOLDING, Deployment, DeploymentLog, Status
from deployments.reconciler.facts import Judged
from deployments.reconciler.launch import Launcher
from deployments.reconciler.room import Room
from deployments.reconciler.site import AT_ONCE, Replica, Site, View
from deployments.reconciler.verdict import BLAMELESS, Turn, Verdict
from deployments.runtimes.base import (
    Code,
    ImageMissing,
    Key,
    Phase,
    RefusedError,
    Runtime,
    RuntimeUnavailable,
    one_line,
)

logger = logging.getLogger(__name__)

SLOW = (Code.PULLING_IMAGE, reasons.START_DELAYED)  # whoever waits for something else
TRY_FOR = timedelta(minutes=10)  # to start one that its endpoint answers with errors
MOST_LAUNCHES = 32  # in one round, so that stops and ends are looked at in between
KEPT_LINES, KEPT_BYTES = 5000, 256 * 1024  # of the output of each replica
MOST_KEPT = 32  # outputs in memory at once
MOST_ATTEMPTS = 20  # of a deployment, whose outputs are kept
T = TypeVar("T")

Pull = Callable[[UUID, str], None]  # endpoint, image


def stop(site: Site, leaving: Sequence[tuple[Deployment, list[Replica]]], now: datetime) -> None:
    """Tell to end whoever has not been told, and kill who is past the grace."""
    due = []
    for row, replicas in leaving:
        late = row.stop_by is not None and row.stop_by <= now
        if row.stop_told_at is None or late:
            due.append((row, replicas, 0 if late else row.grace_s))
    with ThreadPoolExecutor(AT_ONCE, "stop") as pool:
        results = list(pool.map(lambda each: _stop_all(site, *each), due))
    told = [row.pk for (row, _, _), result in zip(due, results, strict=True) if result]
    if told:
        Deployment.objects.filter(pk__in=told, status=Status.STOPPING).update(stop_told_at=now)


def _stop_all(site: Site, row: Deployment, replicas: list[Replica], grace_s: int) -> bool:
    return all(_stop(site, row, each, grace_s) for each in replicas)


def _stop(site: Site, row: Deployment, replica: Replica, grace_s: int) -> bool:
    """True where it has been told, or there is nobody to tell."""
    if replica.sighting is None or replica.sighting.phase == Phase.ENDED:
        return replica.answered
    runtime = site.runtime_of(replica.node)
    if runtime is None:
        return False
    try:
        runtime.stop(Key(str(row.pk), row.attempt, replica.number), grace_s)
    except RuntimeUnavailable as error:
        site.failed(replica.node, error)
        return False
    return True


def launch(
    site: Site,
    waiting: Sequence[tuple[Deployment, list[Replica]]],
    pull: Pull,
) -> tuple[list[Deployment], list[Judged]]:
    """Start whoever has room; those started, and verdicts on those that could not be."""
    # Whoever has been tried in vain comes last: else the same few could be all that is ever tried.
    waiting = sorted(
        waiting, key=lambda each: (each[0].reason_code in SLOW, each[0].admitted_at, each[0].pk)
    )
    room = Room.of(site.cluster.pk, site.nodes, [row for row, _ in waiting])
    ready: list[tuple[Deployment, list[Replica]]] = []
    judged: list[Judged] = []
    for row, replicas in waiting:
        if in_the_way := room.take(row):
            details = {"count": len(in_the_way), "deployments": [str(pk) for pk in in_the_way[:20]]}
            judged.append((row, Verdict(Turn.NOTE, reasons.WAITING_FOR_VICTIMS, details)))
        elif len(ready) < MOST_LAUNCHES:
            ready.append((row, replicas))
    launcher = Launcher(site.cluster)
    with ThreadPoolExecutor(AT_ONCE, "launch") as pool:
        results = list(pool.map(lambda each: _launch(site, launcher, *each), ready))
    started = []
    for (row, _), result in zip(ready, results, strict=True):
        if isinstance(result, Verdict):
            judged.append((row, result))
        elif isinstance(result, Node):
            assert result.endpoint_id is not None
            pull(result.endpoint_id, row.image)
            judged.append((row, Verdict(Turn.NOTE, "PULLING_IMAGE")))
        elif result:
            started.append(row)
    return started, judged


def _launch(
    site: Site, launcher: Launcher, row: Deployment, replicas: list[Replica]
) -> Verdict | Node | bool:
    """True once all of its replicas are on their way; the node that lacks the image; a verdict."""
    by_node: dict[str, list[Replica]] = {}
    for each in replicas:
        by_node.setdefault(str(each.node.pk if each.node else ""), []).append(each)
    begun = any(each.sighting for each in replicas)
    for group in by_node.values():
        node = group[0].node
        runtime = site.runtime_of(node)
        if node is None or runtime is None:
            return False
        try:
            runtime.start(launcher.launch(row, node, [each.number for each in group]))
        except ImageMissing:
            return node
        except RefusedError as error:
            turn = Turn.REQUEUE if error.trouble.code in BLAMELESS else Turn.FAIL
            said = {"said": error.trouble.message} if error.trouble.message else {}
            alive = begun or len(group) > 1  # some of a group may have been made
            return Verdict(turn, str(error.trouble.code), said, alive=alive)
        except RuntimeUnavailable as error:
            site.failed(node, error)
            said = {"said": one_line(error)}
            if row.admitted_at and timezone.now() - row.admitted_at > TRY_FOR:
                return Verdict(Turn.REQUEUE, Code.UNSCHEDULABLE, said, alive=True)
            return Verdict(Turn.NOTE, reasons.START_DELAYED, said)
        begun = True
    return True


def clear(site: Site) -> set[str]:
    """Remove what no row wants: what it wrote is kept first, where its deployment is known.

    Whoever is asked for here was seen before the rows are read again, so what has been launched
    meanwhile cannot be meant. The ids of deployments that have to be looked at once more. One
    query, and another for every 32 replicas whose output is kept.
    """
    seen = list(site.sightings())
    if not seen:
        return set()
    ids = {sighting.key.deployment_id for _, sighting in seen}
    rows = {
        str(pk): (attempt, status)
        for pk, attempt, status in Deployment.objects.filter(
            pk__in=ids, cluster=site.cluster
        ).values_list("pk", "attempt", "status")
    }
    ended: list[Unwanted] = []
    orphans: list[Unwanted] = []
    for view, sighting in seen:
        key = sighting.key
        attempt, status = rows.get(key.deployment_id, (0, ""))
        if attempt == key.attempt and status in HOLDING:
            continue
        unwanted = Unwanted(view, key, known=key.deployment_id in rows)
        (ended if sighting.phase == Phase.ENDED else orphans).append(unwanted)
    with ThreadPoolExecutor(AT_ONCE, "clear") as pool:
        for start in range(0, len(ended), MOST_KEPT):
            some = ended[start : start + MOST_KEPT]
            kept = [each for each in some if each.key in site.kept]
            kept += _keep(pool, [each for each in some if each.key not in site.kept])
            list(pool.map(_remove, kept))
        killed = list(pool.map(_kill, orphans))
    return {each.key.deployment_id for each, done in zip(orphans, killed, strict=True) if done}


def tidy(site: Site) -> None:
    """Clear away what is there besides replicas; what cannot be done keeps nobody waiting."""
    with ThreadPoolExecutor(AT_ONCE, "tidy") as pool:
        list(pool.map(_tidy, site.views.values()))


def _tidy(view: View) -> None:
    if view.runtime is not None and not view.error:
        with suppress(RuntimeUnavailable):
            view.runtime.tidy()


class Unwanted(NamedTuple):
    """A replica that is there for nobody; `known`: its deployment still is."""

    view: View
    key: Key
    known: bool


def keep(site: Site, ending: Sequence[tuple[Deployment, list[Replica]]]) -> None:
    """Keep what they wrote before their rows say that they have ended: whoever waits for that asks
    for it next. A query for every 32 replicas that have ended."""
    ended = [
        Unwanted(view, each.sighting.key, known=True)
        for _, replicas in ending
        for each in replicas
        if each.sighting is not None
        and each.sighting.phase == Phase.ENDED
        and (view := site.view_of(each.node)) is not None
    ]
    with ThreadPoolExecutor(AT_ONCE, "keep") as pool:
        for start in range(0, len(ended), MOST_KEPT):
            kept = _keep(pool, ended[start : start + MOST_KEPT])
            site.kept.update(each.key for each in kept)


def _keep(pool: ThreadPoolExecutor, ended: Sequence[Unwanted]) -> list[Unwanted]:
    """Once each; those whose endpoint answered."""
    outputs = list(pool.map(_output, ended))
    answered = [(each, out) for each, out in zip(ended, outputs, strict=True) if out is not None]
    logs = [
        DeploymentLog(
            deployment_id=each.key.deployment_id,
            attempt=each.key.attempt,
            replica=each.key.replica,
            output=output,
        )
        for each, output in answered
        if each.known
    ]
    DeploymentLog.objects.bulk_create(logs, ignore_conflicts=True)
    for log in logs:
        if log.attempt > MOST_ATTEMPTS:  # of a service that crashes for ever
            older = DeploymentLog.objects.filter(deployment=log.deployment_id)
            older.filter(attempt__lte=log.attempt - MOST_ATTEMPTS).delete()
    return [each for each, _ in answered]


def _output(unwanted: Unwanted) -> bytes | None:
    """The last of what it wrote; None where its endpoint does not answer."""

    def read(runtime: Runtime) -> bytes:
        kept = b""
        if unwanted.known:
            for piece in runtime.logs(unwanted.key, tail=KEPT_LINES):
                kept = (kept + piece)[-KEPT_BYTES:]
        return kept

    return _ask(unwanted.view, read)


def _remove(unwanted: Unwanted) -> None:
    _ask(unwanted.view, lambda runtime: runtime.remove(unwanted.key))


def _kill(orphan: Unwanted) -> bool:
    def kill(runtime: Runtime) -> bool:
        logger.info("an orphan is killed", extra=orphan.key._asdict())
        runtime.stop(orphan.key, 0)
        return True

    return _ask(orphan.view, kill) or False


def _ask(view: View, work: Callable[[Runtime], T]) -> T | None:
    """None, without asking, once its endpoint has failed in this pass."""
    if view.runtime is None or view.error:
        return None
    try:
        return work(view.runtime)
    except RuntimeUnavailable as error:
        view.error = str(error)
        return None
