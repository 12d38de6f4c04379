"""Users, organizations, keys and secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime


class Organization(Record):
    """An organization as anybody sees it."""

    id: str
    name: str


class OwnOrganization(Organization):
    """An organization of yours."""

    admin_invite_code: str | None
    developer_invite_code: str | None
    viewer_invite_code: str | None
    role: str
    created_at: datetime


class CreatedOrganization(Organization):
    """A new organization, with its invite codes."""

    admin_invite_code: str | None
    developer_invite_code: str | None
    viewer_invite_code: str | None


class Joined(Record):
    """The organization that a code let you into."""

    organization_id: str
    organization: str
    role: str


class OwnMembership(Record):
    """Your role in an organization."""

    organization_id: str
    organization: str
    role: str


class Member(Record):
    """A member of an organization."""

    user_id: str
    username: str
    role: str
    joined_at: datetime


class Ban(Record):
    """A removed member, whom no code lets in again."""

    user_id: str
    username: str
    role: str
    banned_at: datetime
    banned_by: str | None


class Code(Record):
    """An invite code."""

    role: str
    code: str
    expires_at: datetime | None
    max_uses: int | None
    uses: int


class Invitation(Record):
    """A link that lets users join, without its token."""

    id: str
    role: str
    email: str
    state: str
    max_uses: int
    uses: int
    uses_left: int
    joined: list[str]
    created_by: str | None
    created_at: datetime
    expires_at: datetime


class IssuedInvitation(Invitation):
    """A new invitation; `token` and `link` are shown this once."""

    token: str | None
    link: str | None
    note: str


class HouseRules(Record):
    """What members of an organization may do to each other's deployments."""

    stop: str
    confirm_evictions: bool
    restricted: list[Record]
    max_preempting_cpu: float | None
    max_preempting_ram: int | None
    max_preempting_gpu: int | None


class Me(Record):
    """You."""

    id: str
    username: str
    email: str
    date_joined: datetime
    profile: Profile
    memberships: list[OwnMembership]


class Profile(Record):
    """What you say about yourself."""

    display_name: str
    timezone: str


class Registered(Record):
    """A new user."""

    id: str
    username: str


class TokenPair(Record):
    """The tokens of a login."""

    access_token: str
    refresh_token: str
    token_type: str


class Device(Record):
    """The codes of a login on another device."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class ApiKey(Record):
    """A key of yours, without its secret."""

    id: str
    name: str
    start: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    scope: str


class IssuedApiKey(ApiKey):
    """A new key; `key` is shown this once."""

    key: str


class OrganizationKey(Record):
    """A key of an organization, without its secret."""

    id: str
    name: str
    start: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    role: str | None
    user_id: str
    username: str
    created_by: str | None


class IssuedOrganizationKey(OrganizationKey):
    """A new key of an organization; `key` is shown this once."""

    key: str


class Secret(Record):
    """A secret's name and version; its value is shown nowhere."""

    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    updated_by: str | None
    last_used_at: datetime | None
