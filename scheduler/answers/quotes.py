"""Quotes: the outcome of a submit before it is made, and a token that guarantees it.

A quote is the planner's answer with the deployment in the queue. Its token binds the user, the
body, the outcome, and the state of the cluster: a digest of the planner's whole input but the time.
A submit with the token is planned again under the cluster's lock. If state and outcome are the
same, the deployment is admitted in the same transaction; otherwise the answer is 409. The planner
does not see a deployment with pending dependencies, so its quote only says that it waits for them.

Input and planning are bounded (store/part_reader.py, budget.py). Where more would matter,
the outcome is UNKNOWN and the token promises nothing: a submit with it waits for a cycle.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from django.core import signing
from django.db import transaction
from uuid_utils.compat import uuid7

from accounts.models import User
from deployments.models import Deployment
from deployments.names import references
from deployments.queries.dependencies import Dependency
from deployments.queries.names import names_of
from deployments.queries.priority_classes import priority_classes
from deployments.reasons.codes import render
from deployments.reasons.reader import reasons_for
from deployments.reasons.warnings import warnings_of
from deployments.redis_queues import next_position
from deployments.services.drafting.dependencies import refuse_hopeless
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.api.ids import moment
from mlops_platform.api.throttling.concurrency import slot
from scheduler import cycle, metrics, store
from scheduler.answers.ahead import ahead_of
from scheduler.answers.budget import AnswerBudget
from scheduler.answers.explain import as_workload, evicted
from scheduler.answers.names import with_names
from scheduler.answers.preemption import preemption_shown, with_causes
from scheduler.answers.shares import shares_of
from scheduler.engine import Plan, whatif
from scheduler.engine.codec import encode_snapshot
from scheduler.engine.plan import Eviction
from scheduler.engine.queue.order import order_key
from scheduler.engine.reasons import NOT_YET_EVALUATED
from scheduler.engine.snapshot import Workload
from scheduler.engine.whatif import Spared, Unanswered, WhatIf
from scheduler.models import Trigger
from scheduler.queues import queue_sync
from scheduler.start_times.single import eta_of
from scheduler.store import Part

SALT = "scheduler.quote"
VALID_S = 300
MOST_STEPS = 300_000  # of the plan, which a submit with the token makes under the cluster's lock

STARTS_NOW = "STARTS_NOW"
STARTS_BY_PREEMPTING = "STARTS_BY_PREEMPTING"
WAITS = "WAITS"
UNKNOWN = "UNKNOWN"


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
    workload, budget = as_workload(deployment), AnswerBudget()
    with transaction.atomic():
        store.see_one_moment()
        reader = store.part_reader(deployment.cluster_id)
        part = _in_few_steps(reader.now_with(workload))
        if deployment.pending_dependencies:
            outcome = _Outcome(WAITS)
        else:
            outcome = _outcome(part, workload, budget)
        waits = outcome.kind in (WAITS, UNKNOWN)
        what_if, ahead, eta = None, None, None
        if waits and outcome.plan is not None:
            ever = reader.ever
            ahead = ahead_of(deployment, workload, ever)
            eta = eta_of(deployment, workload, reader, reader.now_ms)
            what_if = WhatIf(ever.snapshot, workload, covers=ever.covers, check=budget.check)
    earliest = what_if.earliest_start() if what_if is not None else None
    spared = _spared(part, workload, what_if)
    if deployment.pending_dependencies:
        reason = reasons_for([deployment], {deployment.pk: needed})[deployment.pk]
    else:
        reason = _reason(outcome, workload, spared) if waits else None
    answer = {
        "outcome": outcome.kind,
        "preempts": evicted(outcome.evictions),
        "reason": reason,
        "queue_position": _position(deployment) if waits else None,
        "ahead": ahead,
        "eta": eta,
        "earliest_start": moment(earliest.at_ms) if earliest else None,
        "preemption": None
        if what_if is None
        else preemption_shown(earliest, spared, complete=what_if.complete),
        "complete": outcome.kind != UNKNOWN and (what_if is None or what_if.complete),
        "warnings": warnings_of(deployment),
        "valid_s": VALID_S,
        "token": _promise(user, digest, part, workload, outcome).sign(),
    }
    return with_names(answer)


def quote_in_turn(
    user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
) -> dict[str, Any]:
    """The same, as one of the answers that are made at the same time; 429 where there are many."""
    with slot(shares_of(deployment.cluster)):
        return quote(user, deployment, digest, needed)


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
    workload = as_workload(deployment)
    part = _without(workload, store.part_reader(deployment.cluster_id, lock=True))
    if deployment.pending_dependencies:
        outcome = _Outcome(WAITS)
    else:
        outcome = _outcome(part, workload, AnswerBudget())
    if _promise(deployment.owner, digest, part, workload, outcome) != promise:
        raise _stale()
    if outcome.plan is not None and outcome.kind in (STARTS_NOW, STARTS_BY_PREEMPTING):
        queued = (*part.snapshot.queued, workload)
        planned = replace(part.snapshot, queued=queued, max_starts=whatif.EVERY_START)
        try:
            done = cycle.check_apply_record(planned, outcome.plan, uuid7(), Trigger.SUBMITTED)
        except store.StalePlanError:  # a deployment that the plan starts has been stopped meanwhile
            raise _stale() from None
        transaction.on_commit(partial(metrics.record, deployment.cluster_id, done))


class Offered(NamedTuple):
    """A start that `redeem` carries out, and what it evicts."""

    evicts: list[dict[str, Any]]
    token: str


def offer(changed: Deployment, digest: str, budget: AnswerBudget) -> Offered | None:
    """What a waiting deployment starts by, once its row has been changed to `changed`, which is not
    saved; None where that does not start it at once. Writes nothing.

    `digest` is that of the change. The token is redeemed like that of a quote, after the change, in
    its transaction.
    """
    workload = as_workload(changed)
    with transaction.atomic():
        store.see_one_moment()
        part = _without(workload, store.part_reader(changed.cluster_id))
    outcome = _outcome(part, workload, budget)
    if outcome.kind not in (STARTS_NOW, STARTS_BY_PREEMPTING):
        return None
    promise = _promise(changed.owner, digest, part, workload, outcome)
    return Offered(evicted(outcome.evictions), promise.sign())


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`plan` is None for a deployment with pending dependencies, and where the budget was spent."""

    kind: str
    plan: Plan | None = None
    evictions: tuple[Eviction, ...] = ()


def _without(workload: Workload, reader: store.PartReader) -> Part:
    """What matters to the plan with the workload, which may be queued already, but for itself."""
    part = _in_few_steps(reader.now_with(workload))
    others = tuple(each for each in part.snapshot.queued if each.id != workload.id)
    return replace(part, snapshot=replace(part.snapshot, queued=others))


def _in_few_steps(part: Part) -> Part:
    return replace(part, snapshot=replace(part.snapshot, most_steps=MOST_STEPS))


def _outcome(part: Part, workload: Workload, budget: AnswerBudget) -> _Outcome:
    try:
        found = whatif.plan_with(part.snapshot, workload, budget.check)
    except Unanswered:
        return _Outcome(UNKNOWN)
    if not part.covers(workload):
        return _Outcome(UNKNOWN, found.plan)
    if found.start is None:
        return _Outcome(WAITS, found.plan)
    kind = STARTS_BY_PREEMPTING if found.evictions else STARTS_NOW
    return _Outcome(kind, found.plan, found.evictions)


def _stale() -> Conflict:
    return Conflict(
        "The cluster has changed since the quote was given; ask for another.", code="quote_stale"
    )


def _promise(user: User, digest: str, part: Part, workload: Workload, outcome: _Outcome) -> Promise:
    state = "" if outcome.kind == UNKNOWN else state_version(part, workload)
    victims = sorted(each.workload_id for each in outcome.evictions)
    evicts = hashlib.sha256(" ".join(victims).encode()).hexdigest()
    return Promise(str(user.pk), digest, state, outcome.kind, evicts)


def state_version(part: Part, workload: Workload) -> str:
    """A digest of the planner's input without what changes by time alone: running workloads, the
    others that wait and fit, capacity, quotas, policy. Of a queue that was not read to its end,
    those ahead of the workload: how far it was read depends on the workload's own presence."""
    snapshot = part.snapshot
    others = (each for each in part.fitting if each.id != workload.id)
    queued = sorted(others, key=lambda each: each.id)
    if part.last is not None:
        key = order_key(snapshot)
        queued = [each for each in queued if key(each) < key(workload)]
    still = replace(
        snapshot,
        now_ms=0,
        reservation_history=(),
        queued=tuple(queued),
        running=tuple(sorted(snapshot.running, key=lambda each: each.id)),
    )
    return hashlib.sha256(encode_snapshot(still)).hexdigest()


def _spared(part: Part, workload: Workload, what_if: WhatIf | None) -> tuple[Spared, ...]:
    """Why nothing is evicted for it, where it would wait."""
    if what_if is None:
        return ()
    return what_if.spared(whatif.occupants(part.snapshot, workload))


def _reason(outcome: _Outcome, workload: Workload, spared: tuple[Spared, ...]) -> dict[str, Any]:
    if outcome.kind == UNKNOWN or outcome.plan is None:
        return render(NOT_YET_EVALUATED.code, NOT_YET_EVALUATED.details)
    waits = {wait.workload_id or wait.scheduling_key: wait.reason for wait in outcome.plan.waits}
    found = waits.get(workload.id) or waits[workload.scheduling_key]
    details = with_causes(found, spared)
    return render(found.code, details, names_of(references(details)))


def _position(deployment: Deployment) -> int | None:
    names = list(priority_classes())
    score = queue_sync.score_of(deployment.cluster, deployment)
    return next_position(deployment.cluster_id, deployment.priority_class.name, score, names)
