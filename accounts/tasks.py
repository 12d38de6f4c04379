"""The Celery task of accounts."""

from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Login


@shared_task(name="accounts.tasks.forget_expired_tokens")
def forget_expired_tokens() -> None:
    """Delete logins whose tokens have expired, whose table would only grow otherwise."""
    Login.objects.filter(expires_at__lt=timezone.now()).delete()
    call_command("flushexpiredtokens")  # what earlier versions kept in the library's tables
