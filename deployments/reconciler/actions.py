"""What is told to the runtimes: start and stop. No transaction is open here."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from clusters.models import Node
from deployments import reasons
from deployments.models import Deployment, Status
from deployments.reconciler.assessment import BLAMELESS, Assessment, Outcome
from deployments.reconciler.free_space import FreeSpace, InTheWay
from deployments.reconciler.launch_spec import Launcher
from deployments.reconciler.observation import AT_ONCE, Observation, Replica
from deployments.reconciler.status_writer import Judged
from deployments.runtimes.base import (
    Code,
    ImageMissing,
    Key,
    Phase,
    RefusedError,
    RuntimeUnavailable,
    one_line,
)

SLOW = (Code.PULLING_IMAGE, reasons.START_DELAYED)  # whoever waits for something else
TRY_FOR = timedelta(minutes=10)  # to start one that its endpoint answers with errors
MOST_LAUNCHES = 32  # in one round, so that stops and ends are looked at in between

Pull = Callable[[UUID, str], None]  # endpoint, image


def stop(
    site: Observation, leaving: Sequence[tuple[Deployment, list[Replica]]], now: datetime
) -> None:
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


def _stop_all(site: Observation, row: Deployment, replicas: list[Replica], grace_s: int) -> bool:
    return all(_stop(site, row, each, grace_s) for each in replicas)


def _stop(site: Observation, row: Deployment, replica: Replica, grace_s: int) -> bool:
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
    site: Observation,
    waiting: Sequence[tuple[Deployment, list[Replica]]],
    pull: Pull,
    remains: Sequence[tuple[str, Deployment]] = (),
) -> tuple[list[Deployment], list[Judged]]:
    """Start whoever has room; those started, and verdicts on those that could not be.

    `remains`: see garbage.py.
    """
    # Whoever has been tried in vain comes last: else the same few could be all that is ever tried.
    waiting = sorted(
        waiting, key=lambda each: (each[0].reason_code in SLOW, each[0].admitted_at, each[0].pk)
    )
    room = FreeSpace.of(site.cluster.pk, site.nodes, [row for row, _ in waiting], remains)
    ready: list[tuple[Deployment, list[Replica]]] = []
    judged: list[Judged] = []
    for row, replicas in waiting:
        if (in_the_way := room.take(row)) is not None:
            judged.append((row, _waits(in_the_way)))
        elif len(ready) < MOST_LAUNCHES:
            ready.append((row, replicas))
    launcher = Launcher(site.cluster)
    with ThreadPoolExecutor(AT_ONCE, "launch") as pool:
        results = list(pool.map(lambda each: _launch(site, launcher, *each), ready))
    started = []
    for (row, _), result in zip(ready, results, strict=True):
        if isinstance(result, Assessment):
            judged.append((row, result))
        elif isinstance(result, Node):
            assert result.endpoint_id is not None
            pull(result.endpoint_id, row.image)
            judged.append((row, Assessment(Outcome.NOTE, "PULLING_IMAGE")))
        elif result:
            started.append(row)
    return started, judged


def _waits(in_the_way: InTheWay) -> Assessment:
    lingering = in_the_way.lingering
    if not lingering:
        said = "what is left on its node of earlier attempts is being ended"
        return Assessment(Outcome.NOTE, reasons.START_DELAYED, {"said": said})
    details = {"count": len(lingering), "deployments": [str(pk) for pk in lingering[:20]]}
    return Assessment(Outcome.NOTE, reasons.WAITING_FOR_VICTIMS, details)


def _launch(
    site: Observation, launcher: Launcher, row: Deployment, replicas: list[Replica]
) -> Assessment | Node | bool:
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
            turn = Outcome.REQUEUE if error.trouble.code in BLAMELESS else Outcome.FAIL
            said = {"said": error.trouble.message} if error.trouble.message else {}
            alive = begun or len(group) > 1  # some of a group may have been made
            return Assessment(turn, str(error.trouble.code), said, alive=alive)
        except RuntimeUnavailable as error:
            site.failed(node, error)
            said = {"said": one_line(error)}
            if row.admitted_at and timezone.now() - row.admitted_at > TRY_FOR:
                return Assessment(Outcome.REQUEUE, Code.UNSCHEDULABLE, said, alive=True)
            return Assessment(Outcome.NOTE, reasons.START_DELAYED, said)
        begun = True
    return True
