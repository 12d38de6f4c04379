"""Asks workers for mails. A request names what to send and to which user or address: the secret
link of a mail is made by the worker that sends it, and is never in Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from rest_framework.exceptions import APIException

from mlops_platform.api.errors import Conflict
from mlops_platform.api.throttling.slots import Slots

VERIFY = "accounts.tasks.send_verification"
RESET = "accounts.tasks.send_reset"
NO_MAIL = "This platform sends no mail; ask an operator."
STALE_S = 600
MOST_AT_ONCE = 4
SLOTS = Slots(all=MOST_AT_ONCE)
"""For mails of all kinds, of this process's threads, which pass over runtimes: a slow mail server
takes no more."""


class TooManyMails(OSError):  # noqa: N818 - what a task tries again
    """As many mails as may are under way in this process."""


@contextmanager
def taking_turns() -> Iterator[None]:
    """With one of the SLOTS; raises TooManyMails where none is left."""
    if not SLOTS.acquire({}):
        raise TooManyMails
    try:
        yield
    finally:
        SLOTS.release({})


class MailUnavailable(APIException):
    status_code = 503
    default_detail = "No mail can be sent right now; try again soon."
    default_code = "mail_unavailable"
    wait = 5


def require_mail() -> None:
    """409 where the platform sends no mail."""
    if not settings.EMAIL_HOST:
        raise Conflict(NO_MAIL, "no_mail")


def request_mail(task: str, argument: str) -> None:
    """503 while Redis is away: nothing else would ask again."""
    try:
        current_app.send_task(task, (argument,), expires=STALE_S)
    except (RedisError, OperationalError, OSError):
        raise MailUnavailable from None
