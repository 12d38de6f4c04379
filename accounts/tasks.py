"""The Celery tasks that mail users."""

from smtplib import SMTPException
from typing import Any

from celery import shared_task

from accounts.recovery import addresses, mails, passwords

# What a mail server refuses for now is tried again within the time for which the request counts.
AGAIN: dict[str, Any] = {
    "autoretry_for": (OSError, SMTPException),
    "retry_backoff": 10,
    "max_retries": 5,
    "ignore_result": True,
}


@shared_task(name=mails.VERIFY, **AGAIN)
def send_verification(user_id: str) -> None:
    with mails.taking_turns():
        addresses.send(user_id)


@shared_task(name=mails.RESET, **AGAIN)
def send_reset(email: str) -> None:
    with mails.taking_turns():
        passwords.send(email)
