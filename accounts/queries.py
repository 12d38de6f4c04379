"""Reads a user's own account."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import User, UserProfile

MOST_MEMBERSHIPS = 1000  # /api/orgs/my has all of them, page by page


@dataclass(frozen=True)
class Me:
    id: UUID
    username: str
    email: str
    email_verified: bool
    date_joined: datetime
    profile: UserProfile
    memberships: Iterable[Any]  # organizations.Membership, which this app must not import


def me(user: User) -> Me:
    """The user with profile and the first memberships, oldest first. Two queries."""
    profile = UserProfile.objects.filter(user=user).first()
    return Me(
        id=user.pk,
        username=user.username,
        email=user.email,
        email_verified=user.has_verified_email,
        date_joined=user.date_joined,
        profile=profile or UserProfile(user=user),
        memberships=user.memberships.select_related("organization").order_by("pk")[
            :MOST_MEMBERSHIPS
        ],
    )
