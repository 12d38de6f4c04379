"""Offers to a waiting deployment: changes that start it at once, each with what it would evict.

The explanation finds them: less of a resource, a higher priority, another cluster. Each is quoted:
its token binds the deployment, the change, the outcome and the state of the cluster. To accept an
offer is to make the change and to redeem the token in one transaction: the deployment starts as
offered, or nothing has changed and the answer is 409.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Self
from uuid import UUID

from django.db import transaction
from rest_framework.exceptions import APIException, PermissionDenied

from accounts.models import User
from clusters.services.clusters import lock_cluster_or_404
from deployments.house import rules
from deployments.lifecycle.dependents import has_queued_dependents
from deployments.models import Deployment, Status
from deployments.queries.dependencies import dependencies_of
from deployments.queries.deployments import deployment_by_id
from deployments.queries.priority_classes import priority_classes, priority_named
from deployments.scheduling_key import key_of
from deployments.services import stop, submit
from deployments.services.drafting import update, whole_nodes
from deployments.services.drafting.drafts import draft_deployment
from deployments.services.rerun import again_of
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.resources import PUBLIC_NAMES
from mlops_platform.database.row_waits import lock_row
from organizations.access import require
from organizations.models import Role
from scheduler.answers import quotes
from scheduler.answers.budget import AnswerBudget
from scheduler.answers.names import with_names

PRIORITY, CLUSTER = "priority", "cluster_id"
COLUMNS = {f"required_{public}": column for column, public in PUBLIC_NAMES.items()}
MOST_CLUSTERS = 2
STALE = "What was offered holds no longer, as the cluster has changed since: look again."


class Change(NamedTuple):
    """A field of a submit, and its value as text: `required_gpu=1`, `priority=HIGH`."""

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}"

    @classmethod
    def read(cls, text: str) -> Self:
        field, _, value = text.partition("=")
        if field not in (PRIORITY, CLUSTER, *COLUMNS) or not value:
            raise Invalid({"change": "Not a change that was offered."})
        return cls(field, value)

    @property
    def columns(self) -> dict[str, int]:
        """Of a change of the request."""
        if self.field not in COLUMNS:
            return {}
        column = COLUMNS[self.field]
        try:
            amount = Decimal(self.value) * (1000 if column == "cpu_milli" else 1)
            if not 0 <= amount < 2**31 or amount != int(amount):
                raise Invalid({"change": "Not an amount."})
        except InvalidOperation:
            raise Invalid({"change": "Not an amount."}) from None
        return {column: int(amount)}

    def digest(self, deployment: Deployment) -> str:
        return hashlib.sha256(f"{deployment.pk} {self}".encode()).hexdigest()


class Offer(NamedTuple):
    change: Change
    cluster: str
    """The name of the other cluster, of a move."""
    evicts: Sequence[Mapping[str, Any]]
    token: str


def offers(user: User, deployment: Deployment, explanation: Mapping[str, Any]) -> list[Offer]:
    """Those of what the explanation (explain.py) found that start it at once, for a user who may
    act on it. Writes nothing."""
    found = explanation["starts_now_with"]
    if deployment.status != Status.QUEUED or not found:
        return []
    budget = AnswerBudget()
    made = [*_in_place(user, deployment, found, budget), *_moves(user, deployment, found)]
    for each in made:
        with_names({"evicts": each.evicts})
    return made


def _in_place(
    user: User, deployment: Deployment, found: Mapping[str, Any], budget: AnswerBudget
) -> Iterator[Offer]:
    changes = [Change(each["field"], str(each["at_most"])) for each in found["less"]]
    if found["priority"]:
        name = found["priority"]["priority"]
        given = priority_named(name, priority_classes())
        if rules.why_not(rules.refuse_class, user, deployment.cluster_id, given) is None:
            changes.append(Change(PRIORITY, name))
    for change in changes:
        if change.value == "0":  # not what was asked for, without any GPU
            continue
        offered = quotes.offer(_changed(deployment, change), change.digest(deployment), budget)
        if offered is not None:
            yield Offer(change, "", *offered)


def _changed(deployment: Deployment, change: Change) -> Deployment:
    """As the row would be after the change."""
    changed = copy(deployment)
    for column, amount in change.columns.items():
        whole_nodes.set_value(changed, column, amount)
    if change.field == PRIORITY:
        changed.priority_class = priority_named(change.value, priority_classes())
    changed.scheduling_key = key_of(changed, deployment.cluster)
    return changed


def _moves(user: User, deployment: Deployment, found: Mapping[str, Any]) -> Iterator[Offer]:
    """To another cluster, of which what depends on it knows nothing; for its owner, to whom belongs
    what is submitted there. What the other cluster cannot take is no offer."""
    if not found["another_cluster"] or deployment.owner_id != user.pk:
        return
    if has_queued_dependents(deployment.pk):
        return
    for each in found["another_cluster"][:MOST_CLUSTERS]:
        change = Change(CLUSTER, str(each["cluster_id"]))
        try:
            spec, priority = _again(user, deployment)
            draft = draft_deployment(user, each["cluster_id"], spec, priority=priority)
        except APIException:
            continue
        answer = quotes.quote(user, draft.deployment, draft.digest, draft.dependencies)
        if answer["outcome"] in (quotes.STARTS_NOW, quotes.STARTS_BY_PREEMPTING):
            yield Offer(change, each["name"], answer["preempts"], answer["token"])


def accept(user: User, deployment: Deployment, change: Change, token: str) -> Deployment:
    """Make the change; what then runs, which after a move is another deployment.

    404 and 403 by the user's role and the house rules; 409, and nothing changed, where the offer no
    longer holds. Evictions were named by the offer, so that no rule asks for a confirmation.
    """
    require(user, deployment.cluster.organization_id, Role.DEVELOPER)
    if change.field == CLUSTER:
        return _move(user, deployment, change, token)
    with transaction.atomic():
        lock_cluster_or_404(deployment.cluster_id)
        present = deployment_by_id(deployment.pk)
        if present.status != Status.QUEUED:
            raise stale()
        priority = change.value if change.field == PRIORITY else None
        changed = update.change_deployment(
            user, present, change.columns, priority=priority, confirm=True
        )
        quotes.redeem(changed, change.digest(present), token)
    return deployment_by_id(deployment.pk)


def _move(user: User, deployment: Deployment, change: Change, token: str) -> Deployment:
    key = parse_uuid(change.value)
    if key is None:
        raise Invalid({"change": "Not a cluster."})
    if deployment.owner_id != user.pk:
        raise PermissionDenied("Its owner alone may move it.")
    spec, priority = _again(user, deployment)
    waiting = Deployment.objects.filter(status=Status.QUEUED)
    with transaction.atomic():
        row = lock_row(waiting, deployment.pk)  # without dependents, its stop needs no other lock
        if row is None or has_queued_dependents(row.pk):
            raise stale()
        done = submit.create_deployment(user, key, spec, priority=priority, quote=token)
        stop.stop_one(row, user)
    return deployment_by_id(done.deployment.pk)


def _again(user: User, deployment: Deployment) -> tuple[dict[str, Any], str]:
    needed: Mapping[UUID, Any] = dependencies_of([deployment])
    again = again_of(user, deployment, {}, needed=needed.get(deployment.pk, ()))
    return again.spec, again.priority


def stale() -> Conflict:
    return Conflict(STALE, code="quote_stale")
