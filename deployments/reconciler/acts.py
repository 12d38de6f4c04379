"""What is told to the runtimes: start, stop, clear away. No transaction is open here."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from clusters.models import Node
from deployments import reasons
from deployments.models import HOLDING, Deployment, DeploymentLog, Status
from deployments.reconciler.facts import Judged
from deployments.reconciler.launch import Launcher
from deployments.reconciler.room import Room
from deployments.reconciler.site import AT_ONCE, Replica, Site, View
from deployments.reconciler.verdict import Turn, Verdict
from deployments.runtimes.base import (
    ImageMissing,
    Key,
    Phase,
    RefusedError,
    RuntimeUnavailable,
    Sighting,
)

logger = logging.getLogger(__name__)

MOST_LAUNCHES = 32  # in one round, so that stops and ends are looked at in between
KEPT_LINES, KEPT_BYTES = 5000, 256 * 1024  # of the output of each replica

Pull = Callable[[UUID, str], None]  # endpoint, image


def stop(site: Site, leaving: Sequence[tuple[Deployment, list[Replica]]], now: datetime) -> None:
    """Tell to end whoever has not been told, and kill who is past the grace."""
    told = []
    for row, replicas in leaving:
        late = row.stop_by is not None and row.stop_by <= now
        if row.stop_told_at is not None and not late:
            continue
        grace_s = 0 if late else row.grace_s
        if all(_stop(site, row, each, grace_s) for each in replicas):
            told.append(row.pk)
    if told:
        Deployment.objects.filter(pk__in=told, status=Status.STOPPING).update(stop_told_at=now)


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
        site.gave_up(replica.node, error)
        return False
    return True


def launch(
    site: Site,
    waiting: Sequence[tuple[Deployment, list[Replica]]],
    pull: Pull,
) -> tuple[list[Deployment], list[Judged]]:
    """Start whoever has room; those started, and verdicts on those that could not be."""
    waiting = sorted(waiting, key=lambda each: (each[0].admitted_at, each[0].pk))
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
            said = {"said": error.trouble.message} if error.trouble.message else {}
            return Verdict(Turn.FAIL, str(error.trouble.code), said, alive=begun)
        except RuntimeUnavailable as error:
            site.gave_up(node, error)
            return False
        begun = True
    return True


def clear(site: Site) -> set[str]:
    """Remove what no row wants: what it wrote is kept first, where its deployment is known.

    Whoever is asked for here was seen before the rows are read again, so what has been launched
    meanwhile cannot be meant. The ids of deployments that have to be looked at once more. One
    query, and another for each replica whose output is kept.
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
    again = set()
    for view, sighting in seen:
        attempt, status = rows.get(sighting.key.deployment_id, (0, ""))
        if attempt == sighting.key.attempt and status in HOLDING:
            continue
        if view.runtime is None or view.error:
            continue
        try:
            if _clear(view, sighting, known=sighting.key.deployment_id in rows):
                again.add(sighting.key.deployment_id)
        except RuntimeUnavailable as error:
            view.error = str(error)
    return again


def _clear(view: View, sighting: Sighting, *, known: bool) -> bool:
    assert view.runtime is not None
    key = sighting.key
    if sighting.phase == Phase.ENDED:
        if known:
            keep_output(key, view.runtime.logs(key, tail=KEPT_LINES))
        view.runtime.remove(key)
        return False
    logger.info("an orphan is killed", extra={"deployment_id": key.deployment_id, **_told(key)})
    view.runtime.stop(key, 0)
    return True


def keep_output(key: Key, pieces: Iterable[bytes]) -> None:
    """The last of what a replica wrote, kept once."""
    kept = b""
    for piece in pieces:
        kept = (kept + piece)[-KEPT_BYTES:]
    with transaction.atomic():
        DeploymentLog.objects.bulk_create(
            [
                DeploymentLog(
                    deployment_id=key.deployment_id,
                    attempt=key.attempt,
                    replica=key.replica,
                    output=kept,
                )
            ],
            ignore_conflicts=True,
        )


def _told(key: Key) -> dict[str, Any]:
    return {"attempt": key.attempt, "replica": key.replica}
