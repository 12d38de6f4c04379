"""One pass over one cluster: observe, assess, write, act."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from clusters.models import Cluster, Runtime, State
from clusters.services.deletion import delete_cluster
from deployments import wakeup
from deployments.models import ENDED, PLACED, Deployment, Status
from deployments.reasons.codes import CONTAINER_LOST
from deployments.reconciler import (
    actions,
    adoption,
    checkpoint_files,
    garbage,
    node_reports,
    node_trials,
    readiness,
    status_writer,
)
from deployments.reconciler.actions import Observed, Pull
from deployments.reconciler.assessment import Outcome, assess
from deployments.reconciler.observation import Observation
from deployments.reconciler.starts import pulls_ahead
from deployments.reconciler.status_writer import Assessed
from deployments.runtimes import limits
from deployments.services import stop
from deployments.wakeup import EVERYTHING
from mlops_platform.database.clock import database_now

ENDING = (Outcome.COMPLETE, Outcome.FAIL, Outcome.REQUEUE, Outcome.GONE)
ROUNDS = 3  # of observing and acting; then the worker turns to other clusters
PASS_S = 60.0  # for all calls to endpoints of one pass


def reconcile(cluster_id: UUID, deployment_ids: Collection[str], pull: Pull) -> bool:
    """Bring rows and runtimes into step; True if the cluster needs another pass at once.

    Covers the deployments that start or stop and those in `deployment_ids`, or with EVERYTHING all
    that is at the endpoints. `pull` requests an image. Does nothing in a simulated cluster.
    What the pass has no time for is left to the next one.
    """
    with limits.within(PASS_S):
        return _reconcile(cluster_id, deployment_ids, pull) or limits.is_over()


def _reconcile(cluster_id: UUID, deployment_ids: Collection[str], pull: Pull) -> bool:
    cluster = Cluster.objects.filter(pk=cluster_id).exclude(runtime=Runtime.SIMULATED).first()
    if cluster is None:
        return False
    others_are_left = cluster.state == State.DELETING and stop.stop_some(cluster)
    return _run(cluster, deployment_ids, pull) or others_are_left


def _run(cluster: Cluster, deployment_ids: Collection[str], pull: Pull) -> bool:
    full, killed = EVERYTHING in deployment_ids, set[str]()
    for number in range(ROUNDS):
        once_per_full_pass = full and number == 0
        # 1. Read what should be: the rows that are placed.
        rows = _rows(cluster, deployment_ids)
        ids = _ids_to_observe(rows, deployment_ids)
        if ids is not None and not ids:
            return False
        # 2. Observe what is: call every endpoint, outside of any transaction; report its nodes.
        observation = Observation(cluster)
        observation.observe(ids, capacity=once_per_full_pass)
        if ids is not None and observation.has_returned_node():
            deployment_ids = {EVERYTHING}  # replicas from before come first: observe all of them
            continue
        adoption.adopt(observation)
        node_reports.write(observation)
        # 3. Assess each attempt.
        now = database_now()
        node_trials.open_due(observation, now)
        observed = [(row, observation.replicas(row, now)) for row in rows]
        assessed = [(row, assess(row, replicas, now)) for row, replicas in observed]
        if ids is not None and any(each.code == CONTAINER_LOST for _, each in assessed):
            deployment_ids = {EVERYTHING}  # it may have been renamed, which only that shows
            continue
        by_outcome = _by_outcome(observed, assessed)
        _ask_for_moments(cluster.pk, observed, now)
        # 4. Write the outcomes, after the logs of the replicas that have ended.
        garbage.keep_logs(observation, [each for end in ENDING for each in by_outcome[end]])
        status_writer.write(cluster.pk, assessed, now)
        # 5. Act: stop replicas, and remove those that no row wants.
        actions.stop(observation, by_outcome[Outcome.STOP], now)
        removal = garbage.remove_orphans(observation)
        newly_killed = removal.killed - killed  # an orphan that outlives its kill may take long
        killed |= newly_killed
        if once_per_full_pass:
            garbage.tidy(observation)
            checkpoint_files.look(observation, observed, now)
        # 6. Act: start replicas, once victims and leftovers have made room for them.
        admitted, refused = node_trials.admit(observation, by_outcome[Outcome.START], now)
        started, notes = actions.start(observation, admitted, pull, removal.leftovers)
        notes += refused
        if notes:
            status_writer.write(cluster.pk, notes, database_now())
        observation.close_circuit_breakers()
        if once_per_full_pass:
            pulls_ahead.request_in_peace(observation, pull)
        # 7. Another round for started and killed replicas, and for gangs that have to stop.
        deployment_ids = newly_killed | {str(row.pk) for row in started}
        deployment_ids |= {str(row.pk) for row, each in (*assessed, *notes) if each.alive}
        if not deployment_ids or limits.is_over():
            break
    else:
        return True
    if full and cluster.state == State.DELETING:
        _delete_if_empty(cluster)
    return False


def _rows(cluster: Cluster, deployment_ids: Collection[str]) -> list[Deployment]:
    wanted = Q(status__in=PLACED)
    if EVERYTHING not in deployment_ids:
        wanted = Q(status__in=(Status.STARTING, Status.STOPPING))
        wanted |= Q(status=Status.RUNNING, pk__in=deployment_ids)
    return list(Deployment.objects.filter(wanted, cluster=cluster).order_by("pk"))


def _ids_to_observe(
    rows: Collection[Deployment], deployment_ids: Collection[str]
) -> set[str] | None:
    """None for all that is at the endpoints."""
    if EVERYTHING in deployment_ids:
        return None
    return {str(row.pk) for row in rows} | set(deployment_ids)


def _ask_for_moments(cluster_id: UUID, observed: Sequence[Observed], now: datetime) -> None:
    """Have a pass come when a row's state changes by the clock alone."""
    moments = [readiness.next_moment(row, replicas, now) for row, replicas in observed]
    if (first := min(filter(None, moments), default=None)) is not None:
        wakeup.request_in(cluster_id, (first - now).total_seconds(), everything=True)


def _by_outcome(
    observed: Sequence[Observed], assessed: Sequence[Assessed]
) -> dict[Outcome, list[Observed]]:
    found: dict[Outcome, list[Observed]] = {outcome: [] for outcome in Outcome}
    for each, (_, assessment) in zip(observed, assessed, strict=True):
        found[assessment.outcome].append(each)
    return found


def _delete_if_empty(cluster: Cluster) -> None:
    if not Deployment.objects.filter(cluster=cluster).exclude(status__in=ENDED).exists():
        delete_cluster(cluster, force=True)
