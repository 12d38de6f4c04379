"""The Celery task of accounts."""

from celery import shared_task
from django.core.management import call_command


@shared_task(name="accounts.tasks.forget_expired_tokens")
def forget_expired_tokens() -> None:
    """Delete expired refresh tokens, whose table would only grow otherwise."""
    call_command("flushexpiredtokens")
