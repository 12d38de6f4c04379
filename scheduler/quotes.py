"""What a submit would get, told before it is made; and a token that holds the platform to it.

A quote is the planner's answer with the deployment in the queue. Its token binds the caller, the
body, the outcome, and the state that it was computed in: a digest of everything the planner saw but
the time. A submit with the token is planned again under the cluster's lock and, where state and
outcome are the same, admitted in that very transaction; otherwise it is told 409.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.core import signing
from django.db import transaction
from uuid_utils.compat import uuid7

from accounts.models import User
from deployments.models import Deployment
from deployments.reasons import render
from mlops_platform.api.errors import Conflict, Invalid
from scheduler import ledger, store
from scheduler.engine import Plan, Snapshot, whatif
from scheduler.engine.check import verify
from scheduler.engine.codec import encode_snapshot
from scheduler.engine.whatif import Outcome
from scheduler.explain import as_workload, evicted
from scheduler.models import Trigger

SALT = "scheduler.quote"
VALID_S = 300

STARTS_NOW = "STARTS_NOW"
STARTS_BY_PREEMPTING = "STARTS_BY_PREEMPTING"
WAITS = "WAITS"


@dataclass(frozen=True, slots=True)
class Quote:
    outcome: Outcome
    snapshot: Snapshot
    deployment: Deployment

    @property
    def kind(self) -> str:
        if self.outcome.start is None:
            return WAITS
        return STARTS_BY_PREEMPTING if self.outcome.evictions else STARTS_NOW


def quote(user: User, deployment: Deployment, body_digest: str) -> dict[str, Any]:
    """The values of QuoteSerializer for a deployment that is not saved. Writes nothing."""
    with transaction.atomic():
        store.of_one_moment()
        snapshot = store.read_snapshot(deployment.cluster_id)
    found = Quote(whatif.ask(snapshot, as_workload(deployment)), snapshot, deployment)
    token = signing.dumps(
        {
            "user": str(user.pk),
            "body": body_digest,
            "state": state_digest(snapshot),
            "outcome": _essence(found.outcome),
        },
        salt=SALT,
        compress=True,
    )
    return {
        "outcome": found.kind,
        "preempts": evicted(found.outcome.evictions),
        **_waiting(found),
        "valid_s": VALID_S,
        "token": token,
    }
