"""The Celery tasks that delete the rows of deleted clusters."""

from uuid import UUID

from celery import shared_task

from clusters.services import deletion


@shared_task(name=deletion.TASK, ignore_result=True)
def delete_rows(cluster_id: str) -> None:
    deletion.take_turn(UUID(cluster_id))


@shared_task(name="clusters.tasks.resume_deletions", ignore_result=True)
def resume_deletions() -> None:
    """The sweep: finds the deletions whose task Redis or a killed worker has lost."""
    deletion.resume_all()
