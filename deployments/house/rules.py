"""Applies an organization's house rules to submits, priorities and stops.

All of it concerns members who act for themselves: an operator, the scheduler and what follows from
another deployment are not asked. A submit as LOW, which preempts nothing, is never looked at.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import F, Sum
from rest_framework.exceptions import APIException, PermissionDenied

from accounts.models import User
from clusters.models import Cluster
from deployments import hooks
from deployments.house_rules import HouseRules, Stop
from deployments.models import ENDED, Deployment, PriorityClass
from deployments.queries.dependencies import Dependency
from mlops_platform.api.errors import Conflict
from mlops_platform.database.row_waits import lock_row
from organizations.access import reaches
from organizations.models import Membership, Role

FREE = "LOW"
"""The class that every DEVELOPER may use, without a limit."""
LIMITS = {"max_cpu_milli": "cpu_milli", "max_ram_mib": "ram_mib", "max_gpu": "gpu"}
NAMES = {"max_cpu_milli": "cores", "max_ram_mib": "MiB", "max_gpu": "GPUs"}
MOST_NAMED = 3
NEEDS_CONFIRMATION = "needs_confirmation"
HOW = "Submit with the token of a quote, or with confirm: true."
NOT_YOURS = (
    "Here members stop their own deployments; this one is another's. Ask its owner or an ADMIN."
)


class Unconfirmed(Conflict):
    """409: what it would evict needs a confirmation. `fields` are shown with it."""

    def __init__(self, sentence: str, token: str = "") -> None:
        super().__init__(sentence, NEEDS_CONFIRMATION)
        self.fields = {"confirm": [sentence], **({"quote": [token]} if token else {})}


def refuse_stop(user: User, rows: Iterable[Deployment]) -> None:
    """403 where the user may not stop one of the rows. No query for the user's own, else one for
    each cluster."""
    clusters = {row.cluster_id for row in rows if row.owner_id != user.pk}
    if any(_only_own(user, cluster_id) for cluster_id in clusters):
        raise PermissionDenied(NOT_YOURS, code="not_owner")


def refuse_stop_of(user: User, owner_id: UUID, cluster_id: UUID) -> None:
    """The same for a whole sweep of that owner's."""
    if owner_id != user.pk and _only_own(user, cluster_id):
        raise PermissionDenied(NOT_YOURS, code="not_owner")


def refuse_class(user: User, cluster_id: UUID, priority: PriorityClass) -> None:
    """403 where the class is for others. One query, none for LOW."""
    if priority.name == FREE or (rules := house_of(user, cluster_id)) is None:
        return
    for rule in rules.restricted:
        if rule["priority"] != priority.name or str(user.pk) in rule["members"]:
            continue
        if not reaches(Role(_role(rules)), Role(rule["role"])):
            more = " and some members" if rule["members"] else ""
            raise PermissionDenied(
                f"Here the priority {priority.name} is for the role {rule['role']}{more}; yours "
                f"is {_role(rules)}.",
                code="priority_restricted",
            )


def refuse(user: User, rows: Sequence[Deployment]) -> None:
    """Refuse rows that were just written: 403 for a class that is for others, 409 where one member
    has more in classes that may preempt than allowed."""
    seen = set()
    for row in rows:
        if (key := (row.cluster_id, row.priority_class_id)) not in seen:
            seen.add(key)
            refuse_class(user, row.cluster_id, row.priority_class)
    keep_limits([row for row in rows if row.priority_class.may_preempt])


def refuse_unconfirmed(rows: Sequence[Deployment], user: User) -> None:
    """409 for rows of classes that may preempt, where evictions have to be confirmed. For many at
    once, of which no quote says what they would evict. One query for each cluster."""
    for cluster_id in {row.cluster_id for row in rows if row.priority_class.may_preempt}:
        if _confirms(user, cluster_id):
            raise Unconfirmed("Here what may evict others has to be confirmed. With confirm: true.")


def ask_before_evicting(
    user: User, deployment: Deployment, digest: str, needed: Sequence[Dependency]
) -> None:
    """409, with a quote, where an unsaved deployment would evict others at once, or where that
    cannot be known, and evictions have to be confirmed. One query; where they have to, a quote."""
    if not deployment.priority_class.may_preempt or not _confirms(user, deployment.cluster_id):
        return
    found = hooks.quote_submit(user, deployment, digest, needed)
    if found["outcome"] == "UNKNOWN":
        raise Unconfirmed(f"What it would evict is not known. {HOW}", found["token"])
    if found["preempts"]:
        raise Unconfirmed(f"It would evict {_named(found['preempts'])}. {HOW}", found["token"])


def ask_before_raising(user: User, rows: Sequence[Deployment], priority: PriorityClass) -> None:
    """409 where another priority of the rows would evict others at once, or where that cannot be
    known, and evictions have to be confirmed."""
    clusters = {row.cluster_id for row in rows} if priority.may_preempt else set()
    concerned = {each for each in clusters if _confirms(user, each)}
    if not concerned:
        return
    found = hooks.would_evict([row for row in rows if row.cluster_id in concerned], priority.name)
    victims = [each for some in found.by.values() for each in some]
    if victims:
        raise Unconfirmed(f"It would evict {_named(victims)}. Change it with confirm: true.")
    if found.unknown:
        raise Unconfirmed(f"{found.unknown} Change it with confirm: true.")


def why_not(refusal: Any, *given: Any) -> APIException | None:
    """What one of the functions above raises; None where it lets pass."""
    try:
        refusal(*given)
    except APIException as error:
        return error
    return None


def keep_limits(rows: Sequence[Deployment]) -> None:
    """409 where an owner of the rows, which were just written and may preempt, has more of these
    than one member may have. One query; where there is a limit, three for each owner. The owner's
    membership is locked: submits at the same time count one after the other."""
    clusters = {row.cluster_id for row in rows}
    limited = HouseRules.objects.filter(organization__clusters__in=clusters).distinct()
    for rules in limited if clusters else ():
        if all(getattr(rules, limit) is None for limit in LIMITS):
            continue
        ours = set(
            Cluster.objects.filter(organization=rules.pk, pk__in=clusters).values_list(
                "pk", flat=True
            )
        )
        for owner_id in sorted({row.owner_id for row in rows if row.cluster_id in ours}):
            _keep_limits_of(owner_id, rules)


def _keep_limits_of(owner_id: UUID, rules: HouseRules) -> None:
    member = Membership.objects.filter(user=owner_id, organization=rules.pk)
    key = member.values_list("pk", flat=True).first()
    if key is not None:
        lock_row(Membership.objects.all(), key)
    open_rows = Deployment.objects.filter(
        cluster__organization=rules.pk, owner=owner_id, priority_class__may_preempt=True
    ).exclude(status__in=ENDED)
    sums = open_rows.aggregate(
        **{limit: Sum(F(column) * F("replicas")) for limit, column in LIMITS.items()}
    )
    for limit, name in NAMES.items():
        most, wanted = getattr(rules, limit), sums[limit] or 0
        if most is not None and wanted > most:
            unit = 1000 if limit == "max_cpu_milli" else 1
            raise Conflict(
                f"Here one member may have {most / unit:g} {name} in deployments that may preempt, "
                f"waiting ones included; with this it would be {wanted / unit:g}.",
                "preempting_limit",
            )


def has_rules(cluster_id: UUID) -> bool:
    """Whether the cluster's organization has any. One query."""
    return HouseRules.objects.filter(organization__clusters=cluster_id).exists()


def house_of(user: User, cluster_id: UUID) -> HouseRules | None:
    """The rules of the cluster's organization, with the user's `role` there; None where it has
    none. One query."""
    mine = HouseRules.objects.filter(
        organization__clusters=cluster_id, organization__memberships__user=user.pk
    )
    return mine.annotate(role=F("organization__memberships__role")).first()


def _role(rules: HouseRules) -> str:
    return str(rules.role)  # type: ignore[attr-defined]  # annotated by house_of


def _confirms(user: User, cluster_id: UUID) -> bool:
    rules = house_of(user, cluster_id)
    return rules is not None and rules.confirm_evictions


def _only_own(user: User, cluster_id: UUID) -> bool:
    rules = house_of(user, cluster_id)
    return rules is not None and rules.stop == Stop.OWN and _role(rules) != Role.ADMIN


def _named(victims: Sequence[Any]) -> str:
    """The first of them, by name and owner."""
    first = [f"{each['name']} of {each['owner']}" for each in victims[:MOST_NAMED]]
    more = len(victims) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")
