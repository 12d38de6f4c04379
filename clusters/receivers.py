"""What clusters do at the news of users."""

from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import User
from clusters.services import quotas


@receiver(pre_delete, sender=User)
def on_user_deleted(instance: User, **_: Any) -> None:
    quotas.delete_quotas_of(instance)
