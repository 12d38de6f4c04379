"""Tenancy: who belongs to which organization, in which role, and the codes that let others in."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone
from uuid_utils.compat import uuid7


class Role(models.TextChoices):
    """What a member may do; each role includes the ones below it (see access.py)."""

    ADMIN = "ADMIN"
    DEVELOPER = "DEVELOPER"
    VIEWER = "VIEWER"


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    joined_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_each"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="known_role"),
        ]

    def __str__(self) -> str:
        return f"{self.role} membership {self.pk}"  # no names: they would cost a query per row


def new_code() -> str:
    """144 random bits: a code can be passed on, not guessed."""
    return secrets.token_urlsafe(18)


class InviteCode(models.Model):
    """Lets whoever holds it join with `role`. One code per role lives; rotating ends the old."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invite_codes"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    code = models.CharField(max_length=40, unique=True, default=new_code, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    max_uses = models.PositiveIntegerField(null=True, blank=True)
    uses = models.PositiveIntegerField(default=0, editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "role"],
                condition=models.Q(rotated_at=None),
                name="one_live_code_per_role",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="known_code_role"
            ),
            models.CheckConstraint(
                condition=models.Q(max_uses=None) | models.Q(uses__lte=models.F("max_uses")),
                name="uses_within_limit",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} code {self.pk}"

    @property
    def usable(self) -> bool:
        """Not rotated, not expired, not used up."""
        if self.rotated_at is not None or (
            self.max_uses is not None and self.uses >= self.max_uses
        ):
            return False
        return self.expires_at is None or timezone.now() < self.expires_at
