"""Calls the runtimes to start and stop replicas. No transaction is open here."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from clusters.models import Node
from deployments.models import Deployment, Status
from deployments.reasons import codes
from deployments.reconciler.assessment import BLAMELESS, TRY_FOR, Assessment, Outcome
from deployments.reconciler.observation import Observation, Replica, in_parallel
from deployments.reconciler.starts import image_pulls, pull_pauses
from deployments.reconciler.starts.free_space import Blocked, FreeSpace
from deployments.reconciler.starts.launch_spec import LaunchSpecs
from deployments.reconciler.starts.secret_values import NoSecret
from deployments.reconciler.status_writer import Assessed
from deployments.runtimes.base import (
    Code,
    DataAwaited,
    ImageMissing,
    LaunchSpec,
    Phase,
    RefusedError,
    Runtime,
    RuntimeUnavailable,
    one_line,
)
from mlops_platform.database.clock import database_now
from mlops_platform.sealing import Unsealable

logger = logging.getLogger(__name__)

TRIED_IN_VAIN = (
    Code.PULLING_IMAGE,
    Code.IMAGE_PULL_DELAYED,
    codes.START_DELAYED,
    codes.ENV_SEALED,
    codes.SECRET_MISSING,
    codes.SECRET_SEALED,
)
MOST_STARTS = 32  # in one round, so that the next round sees stops and ends in between

Pull = Callable[[UUID, str], None]  # endpoint, image
Call = Literal["prepare", "start"]
Observed = tuple[Deployment, list[Replica]]


class Lacking(NamedTuple):
    """A node that lacks an image."""

    node: Node
    image: str


def stop(observation: Observation, stopping: Sequence[Observed], now: datetime) -> None:
    """Stop the rows' replicas once, and kill them when the row's grace is over."""

    def stop_all(due: tuple[Deployment, list[Replica], int]) -> bool:
        row, replicas, grace_s = due
        return all(_stop(observation, row, each, grace_s) for each in replicas)

    due = []
    for row, replicas in stopping:
        overdue = row.stop_by is not None and row.stop_by <= now
        if row.stop_told_at is None or overdue:
            due.append((row, replicas, 0 if overdue else row.grace_s))
    results = in_parallel("stop", stop_all, due)
    stopped = [row.pk for (row, _, _), result in zip(due, results, strict=True) if result]
    if stopped:
        Deployment.objects.filter(pk__in=stopped, status=Status.STOPPING).update(stop_told_at=now)


def _stop(observation: Observation, row: Deployment, replica: Replica, grace_s: int) -> bool:
    """True where the runtime has taken the stop, or shows that nothing is left to stop."""
    if replica.status is None or replica.status.phase == Phase.ENDED:
        return replica.answered
    runtime = observation.runtime_of(replica.node)
    if runtime is None:
        return False
    try:
        runtime.stop(replica.status.key, grace_s, replica.status.id)
    except RuntimeUnavailable as error:
        observation.record_failure(replica.node, error)
        return False
    return True


def start(
    observation: Observation,
    waiting: Sequence[Observed],
    pull: Pull,
    leftovers: Sequence[tuple[str, Deployment]] = (),
) -> tuple[list[Deployment], list[Assessed]]:
    """Start the waiting rows that fit; returns the started rows, and what has to be noted: why the
    others have not started, and which of the started ones lack a network.

    `leftovers`: replicas of earlier attempts (garbage.py). Two queries, none where no row waits.
    """
    if not waiting:
        return [], []
    # Rows that were tried in vain come last, else the same few could take every turn.
    waiting = sorted(
        waiting,
        key=lambda each: (each[0].reason_code in TRIED_IN_VAIN, each[0].admitted_at, each[0].pk),
    )
    rows = [row for row, _ in waiting]
    free_space = FreeSpace.read(observation.cluster.pk, observation.nodes, rows, leftovers)
    ready: list[Observed] = []
    notes: list[Assessed] = []
    for row, replicas in waiting:
        if (blocked := free_space.take(row)) is not None:
            notes.append((row, _why_blocked(blocked)))
        elif len(ready) < MOST_STARTS:
            ready.append((row, replicas))
    launch_specs = LaunchSpecs(observation.cluster, [row for row, _ in ready])
    launch_specs.secrets.record_uses()
    results = in_parallel("start", lambda each: _start(observation, launch_specs, *each), ready)
    started = []
    for (row, _), result in zip(ready, results, strict=True):
        if isinstance(result, Assessment):
            notes.append((row, result))
        elif isinstance(result, Lacking):
            assert result.node.endpoint_id is not None
            notes.append((row, _without_image(row, result.node.endpoint_id, result.image, pull)))
        elif result:
            started.append(row)
            if why := launch_specs.why_unreachable(row):
                notes.append(
                    (row, Assessment(Outcome.NOTE, codes.PEERS_UNREACHABLE, {"said": why}))
                )
    return started, notes


def _why_blocked(blocked: Blocked) -> Assessment:
    victims = blocked.victims
    if not victims:
        said = "what is left on its node of earlier attempts is being ended"
        return Assessment(Outcome.NOTE, codes.START_DELAYED, {"said": said})
    details = {"count": len(victims), "deployments": [str(pk) for pk in victims[:20]]}
    return Assessment(Outcome.NOTE, codes.WAITING_FOR_VICTIMS, details)


def _start(
    observation: Observation, launch_specs: LaunchSpecs, row: Deployment, replicas: list[Replica]
) -> Assessment | Lacking | bool:
    """True once all replicas are started, or fetch what they mount; False where a node is away; the
    node that lacks an image; or why the row cannot start.

    A gang on several engines is prepared on all of them first, so none of its programs runs before
    all of its containers are there, and what these mount.
    """
    by_endpoint: dict[UUID | None, list[tuple[int, Node]]] = {}
    for each in replicas:
        if each.node is None or observation.runtime_of(each.node) is None:
            return False
        by_endpoint.setdefault(each.node.endpoint_id, []).append((each.number, each.node))
    some_exist = any(each.status for each in replicas)
    calls: tuple[Call, ...] = ("start",) if len(by_endpoint) == 1 else ("prepare", "start")
    for call in calls:
        is_complete = True
        for placed in by_endpoint.values():
            try:
                result = _call(observation, launch_specs, call, row, placed, some_exist=some_exist)
            except DataAwaited:  # others begin to fetch meanwhile
                is_complete = False
                continue
            if result is not True:
                return result
            some_exist = True
        if not is_complete:
            break
    return True


def _call(
    observation: Observation,
    launch_specs: LaunchSpecs,
    call: Call,
    row: Deployment,
    placed: Sequence[tuple[int, Node]],
    *,
    some_exist: bool,
) -> Assessment | Lacking | bool:
    """Prepare or start the replicas at one endpoint; returns what `_start` returns, and raises
    DataAwaited."""
    node = placed[0][1]
    runtime = observation.runtime_of(node)
    if runtime is None:
        return False
    try:
        launch_spec = launch_specs.of(row, placed)
        if _must_pull(runtime, launch_spec, node, row):
            return Lacking(node, row.image)
        if call == "prepare":
            runtime.prepare(launch_spec)
        else:
            runtime.start(launch_spec)
    except ImageMissing as error:
        return Lacking(node, str(error) or row.image)
    except NoSecret as error:
        logger.warning("%s of %s", error.code, row.pk)
        if _tried_long_enough(row):
            return Assessment(Outcome.FAIL, error.code, error.details, alive=some_exist)
        return Assessment(Outcome.NOTE, error.code, error.details)
    except Unsealable:
        logger.error("env of %s cannot be opened: its key is gone", row.pk)
        if _tried_long_enough(row):
            return Assessment(Outcome.FAIL, codes.ENV_SEALED, alive=some_exist)
        return Assessment(Outcome.NOTE, codes.ENV_SEALED)
    except RefusedError as error:
        outcome = Outcome.REQUEUE if error.problem.code in BLAMELESS else Outcome.FAIL
        details = {"said": error.problem.message} if error.problem.message else {}
        alive = some_exist or len(placed) > 1  # the runtime may have created some of them
        code = str(error.problem.code)
        against = observation.is_of_engines and code != Code.FETCH_FAILED
        return Assessment(outcome, code, details, alive=alive, node_id=node.pk, against=against)
    except RuntimeUnavailable as error:
        observation.record_failure(node, error)
        details = {"said": one_line(error)}
        if _tried_long_enough(row):
            return Assessment(
                Outcome.REQUEUE,
                Code.UNSCHEDULABLE,
                details,
                alive=True,
                node_id=node.pk,
                against=observation.is_of_engines,
            )
        return Assessment(Outcome.NOTE, codes.START_DELAYED, details)
    return True


def _must_pull(runtime: Runtime, launch_spec: LaunchSpec, node: Node, row: Deployment) -> bool:
    """Whether the image is to be pulled although the node may have it, and has not been since the
    deployment was placed there."""
    if launch_spec.container.pull_policy != "always" or runtime.pulls_by_itself:
        return False
    assert node.endpoint_id is not None
    assert row.admitted_at is not None
    return not image_pulls.was_pulled_since(node.endpoint_id, row.image, row.admitted_at)


def _without_image(row: Deployment, endpoint_id: UUID, image: str, pull: Pull) -> Assessment:
    """Request the image, unless its last pull failed a moment ago. Others get the capacity of a row
    that has waited for a registry for too long."""
    pause, now = pull_pauses.read(endpoint_id, image), database_now()
    if pause is None:
        pull(endpoint_id, image)
        said = {} if image == row.image else {"said": f"{image}, which fetches its buckets"}
        return Assessment(Outcome.NOTE, Code.PULLING_IMAGE, said)
    if pause.retry_at <= now:
        pull(endpoint_id, image)
    elif now - max(pause.since, row.admitted_at or now) > TRY_FOR:
        code = Code.IMAGE_PULL_DELAYED
        return Assessment(Outcome.REQUEUE, code, pause.details(), alive=row.replicas > 1)
    return Assessment(Outcome.NOTE, Code.IMAGE_PULL_DELAYED, pause.details())


def _tried_long_enough(row: Deployment) -> bool:
    return row.admitted_at is not None and database_now() - row.admitted_at > TRY_FOR
