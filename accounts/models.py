"""Users, their profiles and their logins."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Lower
from uuid_utils.compat import uuid7

from mlops_platform.api.names import folded

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
