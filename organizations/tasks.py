"""The Celery tasks that mail invitations."""

from uuid import UUID

from celery import shared_task

from organizations.invitations import services


@shared_task(name=services.TASK, ignore_result=True)
def send_invitation(invitation_id: str) -> None:
    services.send(UUID(invitation_id))


@shared_task(name="organizations.tasks.request_unsent", ignore_result=True)
def request_unsent() -> None:
    """The sweep: finds the mails whose task Redis, a killed worker or the mail server has lost."""
    services.request_unsent()
