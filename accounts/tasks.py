"""What accounts need done now and then."""

from celery import shared_task
from django.core.management import call_command


@shared_task(name="accounts.tasks.forget_expired_tokens")
def forget_expired_tokens() -> None:
    """Refresh tokens that have expired are dead either way; without this their table only grows."""
    call_command("flushexpiredtokens")
