"""What a submit would get, told before it is made; and a token that holds the platform to it.

A quote is the planner's answer with the deployment in the queue. Its token binds the caller, the
body, the outcome, and the state that it was computed in: a digest of everything the planner saw but
the time. A submit with the token is planned again under the cluster's lock and, where state and
outcome are the same, admitted in that very transaction; otherwise it is told 409. What waits for
others to complete is not the planner's matter yet, so its quote says just that.
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
from deployments.redis_queues import place_for
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
    """What a token holds: who may have what, in which state."""

    user: str
    digest: str  # of the body
    state: str
    kind: str
    evicts: str  # a digest of whom: a token's size must not follow their number

    def sign(self) -> str:
        values = [self.user, self.digest, self.state, self.kind, self.evicts]
        return signing.dumps(values, salt=SALT, compress=True)

    @classmethod
    def read(cls, token: str) -> "Promise":
        """Raises signing.BadSignature, of which SignatureExpired is one."""
        return cls(*signing.loads(token, salt=SALT, max_age=VALID_S))


def quote(
    user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
) -> dict[str, Any]:
    """The values of QuoteSerializer for a deployment that is not saved; writes nothing.

    409 where something that it needs will never complete.
    """
    refuse_hopeless(needed)
    workload = as_workload(deployment)
    with transaction.atomic():
        store.see_one_moment()
        snapshot = store.read_snapshot(deployment.cluster_id)
    outcome = None if deployment.pending_dependencies else whatif.plan_with(snapshot, workload)
    promise = _promise(user, digest, snapshot, outcome)
    waiting = outcome is None or outcome.start is None
    after = WhatIf(snapshot, workload).after_limits() if outcome and waiting else None
    if outcome is None:
        reason = reasons_for([deployment], {deployment.pk: needed})[deployment.pk]
    else:
        reason = _reason(outcome, workload) if waiting else None
    return {
        "outcome": promise.kind,
        "preempts": evicted(outcome.evictions) if outcome else [],
        "reason": reason,
        "queue_position": _position(deployment) if waiting else None,
        "earliest_start": moment(after.at_ms) if after and after.at_ms else None,
        "valid_s": VALID_S,
        "token": promise.sign(),
    }


def redeem(deployment: Deployment, digest: str, token: str) -> None:
    """Keep a quote: admit the deployment, just inserted, exactly as quoted, or raise.

    400 for a token that is none or is somebody else's, 409 for one that has expired, was given for
    another body, or no longer holds. Runs a whole cycle in the caller's transaction.
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
    outcome = None if deployment.pending_dependencies else whatif.plan_with(snapshot, workload)
    if _promise(deployment.owner, digest, snapshot, outcome) != promise:
        raise _stale()
    if outcome is not None and outcome.start is not None:
        asked = replace(snapshot, queued=(*before, workload), max_starts=whatif.EVERY_START)
        try:
            done = cycle.settle(asked, outcome.plan, uuid7(), Trigger.SUBMITTED)
        except store.StalePlanError:  # somebody who was to start has been stopped meanwhile
            raise _stale() from None
        transaction.on_commit(partial(metrics.record, deployment.cluster_id, done))


def _stale() -> Conflict:
    return Conflict(
        "The cluster has changed since the quote was given; ask for another.", code="quote_stale"
    )


def _promise(user: User, digest: str, snapshot: Snapshot, outcome: WorkloadPlan | None) -> Promise:
    """`outcome` is None for one that the planner is not told of yet."""
    if outcome is None or outcome.start is None:
        kind = WAITS
    else:
        kind = STARTS_BY_PREEMPTING if outcome.evictions else STARTS_NOW
    victims = sorted(each.workload_id for each in outcome.evictions) if outcome else []
    evicts = hashlib.sha256(" ".join(victims).encode()).hexdigest()
    return Promise(str(user.pk), digest, state_version(snapshot), kind, evicts)


def state_version(snapshot: Snapshot) -> str:
    """A digest of all that the planner sees but the time, and what time alone brings: who runs, who
    waits, capacity, policy."""
    still = replace(
        snapshot,
        now_ms=0,
        reservation_history=(),
        queued=tuple(sorted(snapshot.queued, key=lambda each: each.id)),
        running=tuple(sorted(snapshot.running, key=lambda each: each.id)),
    )
    return hashlib.sha256(encode_snapshot(still)).hexdigest()


def _reason(outcome: WorkloadPlan, workload: Workload) -> dict[str, Any]:
    waits = {wait.workload_id or wait.scheduling_key: wait.reason for wait in outcome.plan.waits}
    found = waits.get(workload.id) or waits[workload.scheduling_key]
    return render(found.code, found.details)


def _position(deployment: Deployment) -> int | None:
    names = list(priority_classes())
    score = queue_sync.score_of(deployment.cluster, deployment)
    return place_for(deployment.cluster_id, deployment.priority_class.name, score, names)
