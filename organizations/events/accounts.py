"""Events of accounts and of their keys: one in each organization of the user."""

from collections.abc import Iterator, Mapping
from typing import Any

from accounts.models import ApiKey, User
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import Event, Target, record, record_all

Columns = Mapping[str, Any]


def note_account(
    user: User, *, before: Columns | None, after: Columns | None, by: User | None = None
) -> None:
    """Of a user that is in no organization, an event for operators. Two queries."""
    target = Target(TargetType.MEMBER, user.pk, user.username)
    record_all(_of_each(user, Type.MEMBER_CHANGED, target, before, after), actor=by)


def note_deletion(user: User) -> None:
    """Of the account; as above."""
    target = Target(TargetType.MEMBER, user.pk, user.username)
    record_all(_of_each(user, Type.MEMBER_REMOVED, target, {"account": "deleted"}, None))


def note_operators(before: Columns | None, after: Columns | None) -> None:
    target = Target(TargetType.OPERATORS, None, TargetType.OPERATORS)
    record(None, Type.OPERATORS_CHANGED, target, before=before, after=after)


def note_key(key: ApiKey, *, revoked: bool, by: User | None) -> None:
    """Of a key; never its secret. Two queries."""
    target = Target(TargetType.KEY, key.pk, key.name)
    facts = {"user": key.user.username, "scope": key.scope, "expires_at": key.expires_at}
    before, after = (facts, None) if revoked else (None, facts)
    type_ = Type.KEY_REVOKED if revoked else Type.KEY_CREATED
    record_all(_of_each(key.user, type_, target, before, after), actor=by)


def _of_each(
    user: User, type_: Type, target: Target, before: Columns | None, after: Columns | None
) -> Iterator[Event]:
    """With the user's role there."""
    found = list(user.memberships.values_list("organization_id", "role"))
    for organization_id, role in found:
        with_role = [None if each is None else {**each, "role": role} for each in (before, after)]
        is_key = target.type == TargetType.KEY
        yield Event(organization_id, type_, target, *(with_role if is_key else (before, after)))
    if not found:
        yield Event(None, type_, target, before, after)
