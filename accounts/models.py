"""Users, their profiles, their identities at providers, their logins and their API keys."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Lower
from django.utils import timezone
from uuid_utils.compat import uuid7

from mlops_platform.api.names import folded
from mlops_platform.api.scopes import KeyScope

TAKEN = "A user with that name exists already."


class AccountManager(UserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        """Ignores letter case, as registration does; one query."""
        return self.named(username)[:1].get()

    def named(self, username: str | None) -> QuerySet["User"]:
        """The user of that name in any letter case; empty where there is none.

        A row without `folded` comes from before that column, and is found by PostgreSQL's LOWER;
        it comes first, since another user may have its name by now.
        """
        name = username or ""
        by_lower = Q(folded=None, lower=Lower(Value(name)))
        return (
            self.alias(lower=Lower("username"))
            .filter(Q(folded=folded(name)) | by_lower)
            .order_by(F("folded").asc(nulls_first=True))
        )


class User(AbstractUser):
    """A person or a program with a password. Staff are the operators, who use the admin."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    folded = models.CharField(max_length=600, null=True, unique=True, editable=False)
    """The name in the form in which names are compared, written with each save."""
    verified_email = models.CharField(max_length=254, null=True, unique=True, editable=False)
    """The address, in lower case, that was last proved to be the user's."""

    api_key: "str | None" = None
    """The name of the key by which a request acts as the user; no column."""

    REQUIRED_FIELDS: ClassVar[list[str]] = []  # createsuperuser asks for a name and a password

    objects: ClassVar[AccountManager] = AccountManager()

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("username"),
                name="username_unique_in_any_case",
                violation_error_message=TAKEN,
            )
        ]

    @property
    def has_verified_email(self) -> bool:
        """Whether the present address is the one that was proved."""
        return bool(self.email) and self.email.lower() == self.verified_email

    def save(self, **kwargs: Any) -> None:
        self.folded = folded(self.username)
        columns = kwargs.get("update_fields")
        if columns is not None and "username" in columns:
            kwargs["update_fields"] = {*columns, "folded"}
        super().save(**kwargs)


class UserProfile(models.Model):
    """A user's display name and time zone. Created with the user (receivers.py)."""

    user = models.OneToOneField(
        User, on_delete=models.CASCADE, related_name="profile", primary_key=True
    )
    display_name = models.CharField(max_length=100, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")

    def __str__(self) -> str:
        return self.display_name or str(self.user)


class Login(models.Model):
    """A user's login: the chain of refresh tokens that began with a password.

    One token of the chain is valid; each use replaces it. The row ends with the login, and with it
    whatever token of the chain is left somewhere. Tokens are known by their ids alone, so a copy of
    the database lets no reader in.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    token_id = models.CharField(max_length=32)
    """The `jti` of the valid token."""
    spent_id = models.CharField(max_length=32, blank=True, default="")
    """That of the token before, which was traded for the valid one at `spent_at`."""
    spent_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"login {self.pk}"


class Identity(models.Model):
    """A user as an OpenID provider knows the person: by the issuer's own id alone, since names and
    e-mail addresses pass from one person to another."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_login_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(fields=["issuer", "subject"], name="one_user_of_identity")
        ]

    def __str__(self) -> str:
        return f"{self.subject} of {self.issuer}"


class DeviceGrant(models.Model):
    """A program that waits until a person who is logged in lets it in (RFC 8628).

    The program has the device code, of which the table has a digest; the person types the short
    one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    digest = models.CharField(max_length=64, unique=True)
    user_code = models.CharField(max_length=8, unique=True)
    client = models.CharField(max_length=100, blank=True)
    address = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)
    polled_at = models.DateTimeField(null=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    """Who has let it in."""
    is_denied = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"device grant {self.pk}"


class ApiKey(models.Model):
    """A secret with which programs act as the user, within a scope and until it expires.

    The table has the secret's digest alone. A revoked key stays for a while, so that a program that
    still has it can be answered why it is refused (forget.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="api_keys", db_index=False
    )
    name = models.CharField(max_length=63)
    scope = models.CharField(max_length=6, choices=[(each.value, each.value) for each in KeyScope])
    digest = models.CharField(max_length=64, editable=False)
    start = models.CharField(max_length=12, editable=False)
    """The first characters of the secret, by which people recognise it."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, related_name="+", editable=False
    )
    expires_at = models.DateTimeField(db_index=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["user", "-id"], name="api_keys_of_user")]
        constraints = [
            models.UniqueConstraint(fields=["digest"], name="api_key_digest"),
            models.UniqueConstraint(
                fields=["user", "name"],
                condition=Q(revoked_at=None),
                name="api_key_name_of_user",
            ),
        ]

    def __str__(self) -> str:
        return self.name
