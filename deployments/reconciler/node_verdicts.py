"""Notes what starts say of their nodes, with the writes that they are part of.

A start that the engine or kubelet refuses, that it cannot create or start, or whose container it
ends at once, speaks against the node; one whose program has run, however it ended, speaks for it.
What concerns the image, a secret, or a lost node says nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from uuid import UUID

from django.db import transaction

from clusters.nodes.failed_starts import Failure
from clusters.services import failed_starts
from deployments import wakeup
from deployments.lifecycle.timeline import record
from deployments.models import Deployment, EventType, Status
from deployments.names import named
from deployments.queries.placements import node_ids
from deployments.reasons.failed_starts import NODE_CORDONED, NODE_OPENED
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.runtimes.base import Code

# What is equal in two deployments that fail, or run, for the same reasons of their own.
CONTENT = ("image", "command", "args", "container", "volumes")


def note(cluster_id: UUID, written: Sequence[tuple[Deployment, Assessment]], now: datetime) -> None:
    """Note the starts among the assessments, whose rows are as they were assessed. The caller has
    the cluster's lock, and has written them.

    No query where none is a start, one where all have succeeded and no node has failed starts.
    """
    successes, failures = [], []
    for row, assessment in written:
        if assessment.against and assessment.node_id is not None:
            failures.append((str(assessment.node_id), _failure(row, assessment, now)))
        elif row.status == Status.STARTING and _has_run(assessment):
            successes += [(node_id, str(row.pk)) for node_id in set(node_ids(row))]
    verdicts = failed_starts.record(cluster_id, successes, failures, now)
    for verdict in verdicts:
        details: dict[str, str] = {"node": verdict.node.name, "code": NODE_OPENED}
        if verdict.next_try_at is not None:
            details |= {"code": NODE_CORDONED, "retry_at": verdict.next_try_at.isoformat()}
            seconds = (verdict.next_try_at - now).total_seconds()
            transaction.on_commit(partial(_wake_in, cluster_id, seconds))
        record(UUID(verdict.deployment_id), EventType.NOTICE, at=now, details=details)


def _has_run(assessment: Assessment) -> bool:
    if assessment.outcome in (Outcome.CONFIRM, Outcome.COMPLETE):
        return True
    return (
        assessment.outcome == Outcome.FAIL
        and assessment.started_at is not None
        and assessment.code != Code.DISRUPTED
    )


def _failure(row: Deployment, assessment: Assessment, now: datetime) -> Failure:
    """One query for the owner's name, and that of _cause."""
    return Failure(
        key=_cause(row),
        deployment_id=str(row.pk),
        code=assessment.code,
        said=str(assessment.details.get("said", "")),
        admitted_at=row.admitted_at or now,
        disrupted=assessment.code == Code.DISRUPTED,
        name=str(named(row.pk, row.name, row.owner.username, row.image, row.kind)),
    )


def _cause(row: Deployment) -> str:
    """The same for all deployments that may be broken in the same way: those of one owner with one
    image. But where the very same runs in the cluster, each start that fails is the node's fault.
    One query."""
    same = {name: getattr(row, name) for name in CONTENT}
    runs = Deployment.objects.filter(cluster=row.cluster_id, status=Status.RUNNING, **same)
    if runs.exclude(pk=row.pk).exists():
        return str(row.pk)
    return sha256(f"{row.owner_id} {row.image}".encode()).hexdigest()[:32]


def _wake_in(cluster_id: UUID, seconds: float) -> None:
    wakeup.request_in(cluster_id, seconds, everything=True)
