"""Reads invitations: those of an organization, and the one that a token names."""

from uuid import UUID

from django.db.models import F, Prefetch, QuerySet
from django.db.models.functions import Now

from organizations.invitations import tokens
from organizations.models import Invitation, Membership


def invitations_of(organization_id: UUID) -> QuerySet[Invitation]:
    """The newest first, ended ones too, each with the members who joined by it. The caller has
    checked that the user is an ADMIN. Two queries."""
    joined = Membership.objects.select_related("user").order_by("pk")
    return (
        Invitation.objects.filter(organization_id=organization_id)
        .select_related("created_by")
        .annotate(read_at=Now())
        .prefetch_related(Prefetch("members", queryset=joined))
        .order_by("-pk")
    )


def named_by(token: str) -> QuerySet[Invitation]:
    """The invitation with that token, unless it is revoked."""
    return Invitation.objects.filter(digest=tokens.digest(token), revoked_at=None)


def usable(token: str) -> Invitation | None:
    """The invitation by which a user may join now, with its organization and its maker. One query,
    none for a text that cannot be a token."""
    if not tokens.is_token(token):
        return None
    open_now = named_by(token).filter(expires_at__gt=Now(), uses__lt=F("max_uses"))
    return open_now.select_related("organization", "created_by").first()


def open_ones(organization_id: UUID) -> QuerySet[Invitation]:
    """The invitations by which users may join now."""
    return Invitation.objects.filter(
        organization_id=organization_id,
        revoked_at=None,
        expires_at__gt=Now(),
        uses__lt=F("max_uses"),
    )
