"""Organizations, the roles of their members, programs among these, the codes and invitations by
which users join, removed members, and secrets."""

import secrets

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from uuid_utils.compat import uuid7

from organizations.events.models import OrganizationEvent as OrganizationEvent

TAKEN = "An organization with that name exists already."


class Role(models.TextChoices):
    """The rights of a member; each role includes those below it (access.py)."""

    ADMIN = "ADMIN"
    DEVELOPER = "DEVELOPER"
    VIEWER = "VIEWER"


class Organization(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)  # see deletion.py

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                condition=models.Q(deleted_at=None),
                name="organization_name_unique_in_any_case",
                violation_error_message=TAKEN,
            )
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships", db_index=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    joined_at = models.DateTimeField(default=timezone.now, editable=False)
    invitation = models.ForeignKey(
        "Invitation", on_delete=models.SET_NULL, null=True, editable=False, related_name="members"
    )
    """The one by which the user joined, if any."""
    from_group = models.BooleanField(default=False, db_default=False, editable=False)
    """Whether it follows from a group of the user's at the OpenID provider (groups.py)."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_each"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="known_role"),
        ]

    def __str__(self) -> str:
        """Two queries, none where its user and its organization are at hand."""
        return f"{self.user} in {self.organization} as {self.role}"


class GroupRole(models.Model):
    """A group at the OpenID provider, whose users are members of the organization in that role."""

    group = models.CharField(max_length=255)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="group_roles"
    )
    role = models.CharField(max_length=10, choices=Role.choices)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["group", "organization"], name="one_role_of_group"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="known_group_role"
            ),
        ]

    def __str__(self) -> str:
        """One query, none where its organization is at hand."""
        return f"{self.group} in {self.organization} as {self.role}"


class ServiceAccount(models.Model):
    """A user that is a program of one organization: it has a role there, an API key, and no
    password (service_accounts.py)."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="service_account",
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="service_accounts"
    )

    def __str__(self) -> str:
        return f"service account {self.pk}"


def new_code() -> str:
    """A new code of 144 random bits, which cannot be guessed."""
    return secrets.token_urlsafe(18)


class InviteCode(models.Model):
    """A user with the code may join with its role. An organization has one live code for each role;
    rotating ends the old one."""

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
        """One query, none where its organization is at hand."""
        return f"{self.role} code of {self.organization}"

    @property
    def usable(self) -> bool:
        """Not rotated, not expired, not used up."""
        if self.rotated_at is not None or (
            self.max_uses is not None and self.uses >= self.max_uses
        ):
            return False
        return self.expires_at is None or timezone.now() < self.expires_at


class Invitation(models.Model):
    """A link by which users may join: a code of its own beside the standing ones, known to those
    who were given it alone (invitations/)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations", db_index=False
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    email = models.EmailField(blank=True)
    digest = models.CharField(max_length=64, null=True, unique=True, editable=False)
    """Of the token; null until a worker has drawn it for a mail."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    expires_at = models.DateTimeField(db_index=True)
    max_uses = models.PositiveIntegerField(default=1)
    uses = models.PositiveIntegerField(default=0, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)
    by_mail = models.BooleanField(default=False, editable=False)
    tried_at = models.DateTimeField(null=True, editable=False)
    """When a worker has last begun to send it."""
    sent_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="invitations_newest"),
            models.Index(
                fields=["created_at"],
                condition=models.Q(by_mail=True, sent_at=None, revoked_at=None),
                name="invitations_to_send",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="known_invitation_role"
            ),
            models.CheckConstraint(
                condition=models.Q(uses__lte=models.F("max_uses")), name="invitation_uses"
            ),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk}"


class Ban(models.Model):
    """A removed member: no code lets the user in again until an ADMIN has lifted the ban."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="bans", db_index=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="bans"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    """The one that the member had."""
    banned_at = models.DateTimeField(default=timezone.now, editable=False)
    banned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_ban_each"),
        ]

    def __str__(self) -> str:
        """Two queries, none where its user and its organization are at hand."""
        return f"ban of {self.user} from {self.organization}"


class Secret(models.Model):
    """A named value of an organization or of a person, which deployments use and no answer shows.

    Each write makes the next version; the value of the one before is gone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, null=True, related_name="secrets", db_index=False
    )
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        related_name="secrets",
        db_index=False,
    )
    name = models.CharField(max_length=63)
    version = models.PositiveIntegerField(default=1)
    sealed = models.TextField(editable=False)  # mlops_platform/sealing.py
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="secret_of_organization"),
            models.UniqueConstraint(fields=["person", "name"], name="secret_of_person"),
            models.CheckConstraint(
                condition=models.Q(organization=None) ^ models.Q(person=None),
                name="secret_has_one_owner",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SecretUse(models.Model):
    """An attempt of a deployment that was started with a version of a secret.

    `deployment_id` and `user_id` are no foreign keys: who used a secret is known for longer than
    the deployment. Each secret keeps the newest (secrets/uses.py).
    """

    secret = models.ForeignKey(
        Secret, on_delete=models.CASCADE, related_name="uses", db_index=False
    )
    version = models.PositiveIntegerField()
    deployment_id = models.UUIDField()
    attempt = models.PositiveIntegerField()
    user_id = models.UUIDField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["secret", "-id"], name="secret_use_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["secret", "deployment_id", "attempt", "version"], name="one_use_each"
            )
        ]

    def __str__(self) -> str:
        return f"use {self.pk}"
