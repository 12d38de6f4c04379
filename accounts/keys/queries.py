"""Reads API keys: those of a user, and the one of a request."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts.keys import tokens
from accounts.models import ApiKey, User
from mlops_platform.api.errors import not_found

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NOTED_EVERY = timedelta(minutes=1)


class ReadKey(NamedTuple):
    """A key with its user, and the moment of the database's clock at which it was read."""

    key: ApiKey
    read_at: datetime

    @property
    def is_expired(self) -> bool:
        return self.key.expires_at <= self.read_at

    @property
    def use_is_noted(self) -> bool:
        last = self.key.last_used_at
        return last is not None and self.read_at - last < NOTED_EVERY


def keys_of(user: User) -> QuerySet[ApiKey]:
    """The user's keys that are not revoked, the newest first; expired ones are among them."""
    return user.api_keys.filter(revoked_at=None).select_related("created_by").order_by("-pk")


def key_named(keys: QuerySet[ApiKey], name: str) -> ApiKey:
    """The one of the keys with that name; 404 where there is none. One query."""
    key = keys.filter(name=name).first() if NAME.fullmatch(name) else None
    if key is None:
        raise not_found()
    return key


def key_of(token: str) -> ReadKey | None:
    """The key whose secret this is, revoked and expired ones too. One query, none for a text that
    cannot be a key."""
    if not tokens.is_whole(token):
        return None
    rows = ApiKey.objects.annotate(read_at=Now()).select_related("user")
    key = rows.filter(digest=tokens.digest(token)).first()
    return None if key is None else ReadKey(key, key.read_at)
