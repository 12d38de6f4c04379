"""Actions on many deployments at once: each of them is done whole or not at all, and what one
refuses keeps no other from being done."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import OperationalError
from rest_framework.exceptions import APIException

from accounts.models import User
from clusters.models import Cluster
from deployments.house import rules
from deployments.models import ENDED, Deployment, PriorityClass, Status
from deployments.queries.dependencies import dependencies_of
from deployments.queries.priority_classes import priority_classes, priority_named
from deployments.services import bulk, rerun, stop
from deployments.services.drafting import dependencies, idempotency, update
from deployments.services.drafting.drafts import Draft, Order, try_drafts
from mlops_platform.api.errors import BUSY, Conflict, Invalid, not_found, try_again
from organizations.access import reaches, role_too_low, roles_of
from organizations.models import Role

MOST = 1000
AT_ONCE = 200  # rows under one lock of their cluster


@dataclass(frozen=True)
class Refusal:
    id: str
    name: str | None  # none where there is nothing, or not the caller's
    code: str
    detail: str


@dataclass
class Done:
    """What an action has done, or would do in a dry run."""

    chosen: Sequence[Deployment]
    changed: list[Deployment] = field(default_factory=list)
    unchanged: list[Deployment] = field(default_factory=list)  # they were so already
    refused: list[Refusal] = field(default_factory=list)
    submitted: list[Deployment] = field(default_factory=list)
    replayed: bool = False

    @property
    def by_status(self) -> Counter[str]:
        return Counter(row.status for row in self.changed)

    def refuse(self, row: Deployment, error: APIException) -> None:
        self.refused.append(Refusal(str(row.pk), row.name, *_said(error)))


def missing(ids: Collection[str]) -> list[Refusal]:
    """For ids of nothing, or of what the caller may not see."""
    code, detail = _said(not_found())
    return [Refusal(each, None, code, detail) for each in ids]


def stop_many(user: User, rows: Sequence[Deployment], *, dry_run: bool) -> Done:
    """Stop those that have not ended. A query for each organization's role, and those of
    stop.stop."""
    done = Done(rows)
    why_stop_is_refused = _kept_by_cluster(
        lambda row: rules.why_not(rules.refuse_stop, user, [row]),
        lambda row: (row.cluster_id, row.owner_id == user.pk),
    )
    for row in _allowed(user, rows, done):
        if (refusal := why_stop_is_refused(row)) is not None:
            done.refuse(row, refusal)
            continue
        ended = row.status in ENDED or row.next_status == Status.STOPPED
        (done.unchanged if ended else done.changed).append(row)
    if not dry_run:
        for _, some in _by_cluster(done.changed):
            with _refusing_if_busy(done, some):
                stop.stop([row.pk for row in some], user, batch=AT_ONCE)
    return done


def give_priority(
    user: User, rows: Sequence[Deployment], name: str, *, dry_run: bool, confirm: bool = False
) -> Done:
    """Give those that have not ended this priority, as far as the house rules let the user."""
    priority = priority_named(name, priority_classes())
    done = Done(rows)
    why_class_is_refused = _kept_by_cluster(
        lambda row: rules.why_not(rules.refuse_class, user, row.cluster_id, priority),
        lambda row: row.cluster_id,
    )
    for row in _allowed(user, rows, done):
        if row.status in ENDED:
            done.refuse(row, update.too_late(row))
        elif (refusal := why_class_is_refused(row)) is not None:
            done.refuse(row, refusal)
        elif row.priority_class_id == priority.pk:
            done.unchanged.append(row)
        else:
            done.changed.append(row)
    if not dry_run:
        if not confirm:
            rules.ask_before_raising(user, done.changed, priority)
        for cluster_id, some in _by_cluster(done.changed):
            with _refusing_if_busy(done, some):
                _give(user, cluster_id, some, priority, done)
    return done


def rerun_many(
    user: User,
    rows: Sequence[Deployment],
    *,
    dry_run: bool,
    idempotency_key: str | None = None,
    body: str = "",
    actor: User | None = None,
) -> Done:
    """Submit each again, unchanged, as a deployment of the user's. `body`: what the key belongs to;
    `actor`: the operator that asked for it in the user's place. All that are not refused one by one
    are submitted together: 409 where the queue has no room for them."""
    digest = hashlib.sha256(json.dumps(["rerun", body]).encode()).hexdigest()
    done = Done(rows)
    if idempotency_key and not dry_run:
        done.submitted = idempotency.earlier(user, idempotency_key, digest, MOST)
        if done.submitted:
            done.replayed = True
            return done
    needed = dependencies_of(rows)
    orders, wanted = [], []
    for row in _allowed(user, rows, done):
        try:
            again = rerun.again_of(user, row, {}, needed=needed.get(row.pk, ()))
        except APIException as error:
            done.refuse(row, error)
        else:
            orders.append(Order(row.cluster_id, again.spec, again.priority))
            wanted.append(row)
    drafts = []
    tried = try_drafts(user, orders) if orders else []
    for row, draft in zip(wanted, tried, strict=True):
        try:
            if not isinstance(draft, Draft):
                raise draft
            dependencies.refuse_hopeless(draft.dependencies)
        except APIException as error:
            done.refuse(row, error)
        else:
            done.changed.append(row)
            drafts.append(draft)
    if drafts and not dry_run:
        saved = bulk.save(user, drafts, digest, idempotency_key=idempotency_key, actor=actor)
        done.submitted, done.replayed = saved.deployments, saved.replayed
    return done


def _allowed(user: User, rows: Sequence[Deployment], done: Done) -> Iterator[Deployment]:
    """Those in whose organizations the user may do this; the others are refused. One query, and
    one for the organizations of their clusters."""
    clusters = Cluster.objects.only("organization_id").in_bulk({row.cluster_id for row in rows})
    roles = roles_of(user, {each.organization_id for each in clusters.values()})
    for row in rows:
        cluster = clusters.get(row.cluster_id)
        role = roles.get(cluster.organization_id) if cluster else None
        if role is None:
            done.refuse(row, not_found())
        elif not reaches(role, Role.DEVELOPER):
            done.refuse(row, role_too_low(Role.DEVELOPER, role))
        else:
            yield row


def _give(
    user: User,
    cluster_id: UUID,
    rows: Sequence[Deployment],
    priority: PriorityClass,
    done: Done,
) -> None:
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        ids = [row.pk for row in some]
        try:
            late = update.give_priority(user, cluster_id, ids, priority, by_member=True)
        except Conflict as error:  # beyond a member's limit: none of them
            late = dict.fromkeys(ids, error)
        for row in some:
            if row.pk in late:
                done.changed.remove(row)
                done.refuse(row, late[row.pk])


def _kept_by_cluster(
    ask: Callable[[Deployment], APIException | None], key_of: Callable[[Deployment], Any]
) -> Callable[[Deployment], APIException | None]:
    """Asks once for rows of one key."""
    known: dict[Any, APIException | None] = {}

    def answer(row: Deployment) -> APIException | None:
        key = key_of(row)
        if key not in known:
            known[key] = ask(row)
        return known[key]

    return answer


def _by_cluster(rows: Sequence[Deployment]) -> list[tuple[UUID, list[Deployment]]]:
    found: dict[UUID, list[Deployment]] = defaultdict(list)
    for row in rows:
        found[row.cluster_id].append(row)
    return sorted(found.items())


@contextmanager
def _refusing_if_busy(done: Done, rows: Sequence[Deployment]) -> Iterator[None]:
    """Where a row is locked for too long, those of `rows` that were not reached are refused, and
    the clusters that follow go on."""
    try:
        yield
    except OperationalError as error:
        answer = try_again(error)
        if answer is None or answer.code != BUSY.code:
            raise
        now = Deployment.objects.in_bulk([row.pk for row in rows])
        for row in rows:
            same = now.get(row.pk)
            if same is not None and _state(same) == _state(row):
                done.changed.remove(row)
                done.refused.append(Refusal(str(row.pk), row.name, answer.code, answer.detail))


def _state(row: Deployment) -> tuple[Any, ...]:
    """What an action changes."""
    return row.status, row.next_status, row.priority_class_id


def _said(error: APIException) -> tuple[str, str]:
    """The code and the sentence of a refusal."""
    if isinstance(error, Invalid) or isinstance(error.detail, dict):
        fields = [f"{name}: {_first(said)}" for name, said in dict(error.detail).items()]  # type: ignore[arg-type]  # a dict then
        return "invalid", " ".join(fields)
    return str(getattr(error.detail, "code", error.default_code)), str(error.detail)


def _first(said: object) -> str:
    while isinstance(said, list | dict) and said:
        said = next(iter(said.values() if isinstance(said, dict) else said))
    return str(said)
