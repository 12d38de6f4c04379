"""Deletes logins, sessions and API keys that have ended: parts of the retention
(scheduler/retention/).

Each function yields how many rows each short transaction of its has deleted.
"""

from collections.abc import Iterator
from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import ApiKey, DeviceGrant, Login
from mlops_platform.database.clock import database_now

BATCH = 500
KEYS_FOR = timedelta(days=90)
"""After its end a key can be answered why it is refused."""


def logins() -> Iterator[int]:
    """Logins whose tokens have expired, and what earlier versions kept in the library's tables;
    device codes; API keys a while after they have expired."""
    now = database_now()
    yield from _delete(Login.objects.filter(expires_at__lt=now).order_by("expires_at"))
    yield from _delete(OutstandingToken.objects.filter(expires_at__lte=now).order_by("pk"))
    yield from _delete(DeviceGrant.objects.filter(expires_at__lt=now).order_by("expires_at"))
    ended = ApiKey.objects.filter(expires_at__lt=now - KEYS_FOR)
    yield from _delete(ended.order_by("expires_at"))


def sessions() -> Iterator[int]:
    """Operators' sessions that have expired."""
    yield from _delete(Session.objects.filter(expire_date__lt=database_now()))


def _delete(rows: QuerySet) -> Iterator[int]:
    while ids := list(rows.values_list("pk", flat=True)[:BATCH]):
        deleted, _ = rows.model.objects.filter(pk__in=ids).delete()
        yield deleted
