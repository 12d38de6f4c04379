"""Quotes: the outcome of a submit before it is made, and a token that guarantees it.

A quote is the planner's answer with the deployment in the queue. Its token binds the user, the
body, the outcome, and the state of the cluster: a digest of the planner's whole input but the time.
A submit with the token is planned again under the cluster's lock. If state and outcome are the
same, the deployment is admitted in the same transaction; otherwise the answer is 409. The planner
does not see a deployment with pending dependencies, so its quote only says that it waits for them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from django.core import signing
from django.db import transaction
from uuid_utils.compat import uuid7

from accounts.models import User
from deployments.models import Deployment
from deployments.queries import Dependency, priority_classes, reasons_for
from deployments.reasons import render
from deployments.redis_queues import next_position
from deployments.services.dependencies import refuse_hopeless
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.api.ids import moment
from scheduler import cycle, metrics, queue_sync, store
from scheduler.engine import Snapshot, whatif
from scheduler.engine.codec import encode_snapshot
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import WhatIf, WorkloadPlan
from scheduler.explain import as_workload, evicted
from scheduler.models import Trigger

SALT = "scheduler.quote"
VALID_S = 300

STARTS_NOW = "STARTS_NOW"
STARTS_BY_PREEMPTING = "STARTS_BY_PREEMPTING"
WAITS = "WAITS"


@dataclass(frozen=True, slots=True)
class Promise:
    """The contents of a token: the user, the body, and the outcome in one state of the cluster."""

    user: str
    digest: str  # of the body
    state: str
    kind: str
    evicts: str  # a digest of the victims, so that their number does not enlarge the token

    def sign(self) -> str:
        values = [self.user, self.digest, self.state, self.kind, self.evicts]
        return signing.dumps(values, salt=SALT, compress=True)

    @classmethod
    def read(cls, token: str) -> "Promise":
        """Raises signing.BadSignature, and its subclass SignatureExpired after VALID_S."""
        return cls(*signing.loads(token, salt=SALT, max_age=VALID_S))


def quote(
    user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
) -> dict[str, Any]:
    """The values of QuoteSerializer for an unsaved deployment. Writes nothing.

    409 if a dependency will never complete.
    """
    refuse_hopeless(needed)
    workload = as_workload(deployment)
    with transaction.atomic():
        store.see_one_moment()
        snapshot = store.read_snapshot(deployment.cluster_id)
    answer = None if deployment.pending_dependencies else whatif.plan_with(snapshot, workload)
    promise = _promise(user, digest, snapshot, answer)
    waiting = answer is None or answer.start is None
    after = WhatIf(snapshot, workload).after_limits() if answer and waiting else None
    if answer is None:
        reason = reasons_for([deployment], {deployment.pk: needed})[deployment.pk]
    else:
        reason = _reason(answer, workload) if waiting else None
    return {
        "outcome": promise.kind,
        "preempts": evicted(answer.evictions) if answer else [],
        "reason": reason,
        "queue_position": _position(deployment) if waiting else None,
        "earliest_start": moment(after.at_ms) if after and after.at_ms else None,
        "valid_s": VALID_S,
        "token": promise.sign(),
    }


def redeem(deployment: Deployment, digest: str, token: str) -> None:
    """Admit the deployment, which was just inserted, exactly as quoted, or raise.

    400 for an invalid token or that of another user; 409 for a token that has expired, was issued
    for another body, or for another state. Runs a whole cycle in the caller's transaction.
    """
    try:
        promise = Promise.read(token)
    except signing.SignatureExpired:
        raise Conflict("The quote has expired; ask for another.", code="quote_stale") from None
    except (signing.BadSignature, TypeError, ValueError):
        raise Invalid({"quote": "Not a token of a quote."}) from None
    if promise.user != str(deployment.owner_id):
        raise Invalid({"quote": "Not a quote of yours."})
    if promise.digest != digest:
        raise Conflict("The quote was given for another body.", code="quote_mismatch")
    snapshot = store.read_snapshot(deployment.cluster_id, lock=True)
    workload = as_workload(deployment)
    before = tuple(each for each in snapshot.queued if each.id != workload.id)
    snapshot = replace(snapshot, queued=before)
    answer = None if deployment.pending_dependencies else whatif.plan_with(snapshot, workload)
    if _promise(deployment.owner, digest, snapshot, answer) != promise:
        raise _stale()
    if answer is not None and answer.start is not None:
        planned = replace(snapshot, queued=(*before, workload), max_starts=whatif.EVERY_START)
        try:
            done = cycle.check_apply_record(planned, answer.plan, uuid7(), Trigger.SUBMITTED)
        except store.StalePlanError:  # a deployment that the plan starts has been stopped meanwhile
            raise _stale() from None
        transaction.on_commit(partial(metrics.record, deployment.cluster_id, done))


def _stale() -> Conflict:
    return Conflict(
        "The cluster has changed since the quote was given; ask for another.", code="quote_stale"
    )


def _promise(user: User, digest: str, snapshot: Snapshot, answer: WorkloadPlan | None) -> Promise:
    """`answer` is None for a deployment with pending dependencies."""
    if answer is None or answer.start is None:
        kind = WAITS
    else:
        kind = STARTS_BY_PREEMPTING if answer.evictions else STARTS_NOW
    victims = sorted(each.workload_id for each in answer.evictions) if answer else []
    evicts = hashlib.sha256(" ".join(victims).encode()).hexdigest()
    return Promise(str(user.pk), digest, state_version(snapshot), kind, evicts)


def state_version(snapshot: Snapshot) -> str:
    """A digest of the planner's input without what changes by time alone: running and queued
    workloads, capacity, quotas, policy."""
    still = replace(
        snapshot,
        now_ms=0,
        reservation_history=(),
        queued=tuple(sorted(snapshot.queued, key=lambda each: each.id)),
        running=tuple(sorted(snapshot.running, key=lambda each: each.id)),
    )
    return hashlib.sha256(encode_snapshot(still)).hexdigest()


def _reason(answer: WorkloadPlan, workload: Workload) -> dict[str, Any]:
    waits = {wait.workload_id or wait.scheduling_key: wait.reason for wait in answer.plan.waits}
    found = waits.get(workload.id) or waits[workload.scheduling_key]
    return render(found.code, found.details)


def _position(deployment: Deployment) -> int | None:
    names = list(priority_classes())
    score = queue_sync.score_of(deployment.cluster, deployment)
    return next_position(deployment.cluster_id, deployment.priority_class.name, score, names)
