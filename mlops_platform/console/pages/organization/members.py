"""The member's organizations, and one of them: its members, quotas,
invitations and API keys."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.http import QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import Serializer

from accounts.models import User
from clusters.models import Quota
from deployments.queries.allocations import allocated_in
from mlops_platform.admin.markup import figure, ram
from mlops_platform.api.errors import Invalid, not_found
from mlops_platform.api.fields import cores
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.resources import Amounts
from mlops_platform.console.errors import words
from organizations import service_accounts, services
from organizations.access import require
from organizations.api.invitation_serializers import InvitationSerializer, NewInvitationSerializer
from organizations.api.key_serializers import NewKeySerializer
from organizations.api.serializers import JoinSerializer, NewOrganizationSerializer
from organizations.invitations import queries as invitations
from organizations.invitations import services as inviting
from organizations.models import Role
from organizations.queries import members_of, memberships_of

MOST_MEMBERS = 200
MOST_INVITATIONS = 50
MOST_KEYS = 100
MOST_QUOTAS = 200
DAY_S = 24 * 3600


@dataclass(frozen=True)
class OrganizationLine:
    id: UUID
    name: str
    role: str
    joined_at: datetime


@dataclass(frozen=True)
class OrganizationsPage:
    organizations: list[OrganizationLine]
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MemberLine:
    id: UUID
    name: str
    role: str
    joined_at: datetime
    is_me: bool


@dataclass(frozen=True)
class KeyLine:
    name: str
    start: str
    role: str
    created_by: str
    last_used_at: datetime | None
    expires_at: datetime


@dataclass(frozen=True)
class QuotaLine:
    cluster_id: UUID
    cluster: str
    user: str
    """Empty for the default, of each user without a quota."""
    amounts: list[str]
    """Of each limited resource how much is allocated, and how much may be."""


@dataclass(frozen=True)
class Issued:
    """A secret that this answer alone has."""

    said: str
    secret: str = ""


@dataclass(frozen=True)
class OrganizationPage:
    id: UUID
    name: str
    role: str
    members: list[MemberLine]
    is_cut: bool = False
    """Whether there are more members than are shown."""
    quotas: list[QuotaLine] = field(default_factory=list)
    invitations: list[Mapping[str, Any]] = field(default_factory=list)
    """As the API shows them; for ADMINs alone, as the keys."""
    keys: list[KeyLine] = field(default_factory=list)
    roles: tuple[str, ...] = tuple(Role.values)
    issued: Issued | None = None
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_admin(self) -> bool:
        return self.role == Role.ADMIN


def organizations(user: User, **more: Any) -> OrganizationsPage:
    lines = [
        OrganizationLine(each.organization_id, each.organization.name, each.role, each.joined_at)
        for each in memberships_of(user)
    ]
    return OrganizationsPage(lines, **more)


def enter(user: User, form: QueryDict) -> UUID:
    """Founds an organization by its `name`, or joins the one of a `code` or of a link with one;
    its id. Raises what the API's calls do."""
    if "name" in form:
        body = _body(NewOrganizationSerializer, {"name": form.get("name", "").strip()})
        return services.create_organization(user, body["name"]).pk
    code = form.get("code", "").strip().rstrip("/").rpartition("/")[2]
    body = _body(JoinSerializer, {"invite_code": code})
    return services.join(user, body["invite_code"]).organization_id


def organization_page(user: User, organization_id: str, **more: Any) -> OrganizationPage:
    """404 where the user is no member. Up to ten queries."""
    membership = require(user, organization_id, Role.VIEWER)
    organization = membership.organization
    rows = list(members_of(organization.pk)[: MOST_MEMBERS + 1])
    open_ones, keys = [], []
    if membership.role == Role.ADMIN:
        newest = list(invitations.invitations_of(organization.pk)[:MOST_INVITATIONS])
        shown = InvitationSerializer(newest, many=True).data
        open_ones = [each for each in shown if each["state"] in ("open", "sending", "not_sent")]
        keys = [_key(each) for each in service_accounts.keys_of(organization.pk)[:MOST_KEYS]]
    return OrganizationPage(
        id=organization.pk,
        name=organization.name,
        role=membership.role,
        members=[
            MemberLine(
                each.user_id, each.user.username, each.role, each.joined_at, each.user == user
            )
            for each in rows[:MOST_MEMBERS]
        ],
        is_cut=len(rows) > MOST_MEMBERS,
        quotas=_quotas(organization.pk),
        invitations=open_ones,
        keys=keys,
        **more,
    )


def _quotas(organization_id: UUID) -> list[QuotaLine]:
    """Two queries, one without quotas."""
    found = Quota.objects.filter(
        cluster__organization=organization_id, cluster__deleted_at=None
    ).select_related("cluster", "user")
    rows = list(found.order_by("cluster__name", "user__username")[:MOST_QUOTAS])
    allocated = allocated_in({each.cluster_id for each in rows})
    return [_quota(each, allocated.get(each.cluster_id, {})) for each in rows]


def _quota(quota: Quota, allocated: Mapping[UUID, Amounts]) -> QuotaLine:
    has = allocated.get(quota.user_id, Amounts()) if quota.user_id else None
    limits: dict[str, tuple[int | None, int | None, Callable[[int], str]]] = {
        "GPUs": (has and has.gpu, quota.max_gpu, str),
        "cores": (has and has.cpu_milli, quota.max_cpu_milli, lambda milli: figure(cores(milli))),
        "RAM": (has and has.ram_mib, quota.max_ram_mib, ram),
    }
    amounts = []
    for unit, (used, most, words_of) in limits.items():
        if most is not None:
            used_of = "" if used is None else f"{words_of(used)} of "
            amounts.append(f"{unit}: {used_of}{words_of(most)}")
    user = quota.user.username if quota.user else ""
    return QuotaLine(quota.cluster_id, quota.cluster.name, user, amounts)


def _key(key: Any) -> KeyLine:
    by = key.created_by.username if key.created_by else ""
    return KeyLine(key.name, key.start, key.role or "-", by, key.last_used_at, key.expires_at)


# --- What its buttons do ------------------------------------------------------------------------


def do(user: User, organization_id: str, form: QueryDict, host: str) -> Issued:
    """Carries out the button `do` of the form; raises what the service does, and 400 naming the
    field at fault. Each service checks the user's role."""
    key = parse_uuid(organization_id)
    act = ACTIONS.get(form.get("do", ""))
    if key is None or act is None:
        raise not_found()
    require(user, key, Role.VIEWER)
    return act(user, key, form, host)


def _change_role(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    role = form.get("role", "")
    if role not in Role.values:
        raise Invalid({"role": f"One of {', '.join(Role.values)}."})
    changed = services.change_role(user, key, _member(form), Role(role))
    return Issued(f"{changed.user} is {changed.role}.")


def _remove(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    services.remove_member(user, key, _member(form))
    return Issued("The member is removed, and comes back only once the ban is lifted.")


def _leave(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    services.remove_member(user, key, user.pk)
    return Issued("You have left the organization.")


def _invite(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    given = {name: form.get(name, "").strip() for name in ("role", "max_uses", "email")}
    body = _body(NewInvitationSerializer, {**given, "expires_in_s": _days(form)}, "max_uses")
    made = inviting.invite(user, key, **{**body, "role": Role(body["role"])})
    if made.token is None:
        return Issued(f"The link is mailed to {made.invitation.email}.")
    said = "Pass this link on: it is shown once."
    return Issued(said, inviting.link_to(made.token, host))


def _revoke_invitation(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    invitation_id = parse_uuid(form.get("invitation", ""))
    if invitation_id is None:
        raise not_found()
    inviting.revoke(user, key, invitation_id)
    return Issued("The invitation is revoked.")


def _create_key(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    given = {"name": form.get("name", "").strip(), "role": form.get("role", "")}
    body = _body(NewKeySerializer, {**given, "expires_in_s": _days(form)})
    made = service_accounts.create_key(user, key, **{**body, "role": Role(body["role"])})
    return Issued(f"The key {made.key.name}, which is shown once:", made.token)


def _revoke_key(user: User, key: UUID, form: QueryDict, host: str) -> Issued:
    service_accounts.revoke_key(user, key, form.get("name", ""))
    return Issued("The key is revoked.")


ACTIONS: dict[str, Callable[[User, UUID, QueryDict, str], Issued]] = {
    "role": _change_role,
    "remove": _remove,
    "leave": _leave,
    "invite": _invite,
    "revoke_invitation": _revoke_invitation,
    "create_key": _create_key,
    "revoke_key": _revoke_key,
}


def _member(form: QueryDict) -> UUID:
    found = parse_uuid(form.get("member", ""))
    if found is None:
        raise not_found()
    return found


def _days(form: QueryDict) -> int | str | None:
    """Seconds of the field `days`; what is no number is left for the API's field to refuse."""
    text = form.get("days", "").strip()
    if not text:
        return None
    return int(text) * DAY_S if text.isdecimal() and len(text) < 6 else text


def _body(
    serializer: type[Serializer[Any]], given: dict[str, Any], *numbers: str
) -> dict[str, Any]:
    """The API's body of what the form gives; an empty field is left out."""
    body = {name: value for name, value in given.items() if value not in ("", None)}
    for name in numbers:
        if str(body.get(name, "")).isdecimal():
            body[name] = int(body[name])
    return dict(serializer().run_validation(body))


def faults_of(error: ValidationError) -> dict[str, str]:
    detail: Any = error.detail
    found = detail if isinstance(detail, dict) else {"": detail}
    return {name: words(said) for name, said in found.items()}
