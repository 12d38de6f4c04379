"""Bells that others ring for clusters."""

from typing import Any

from django.db.models.signals import pre_delete
from django.dispatch import receiver

from accounts.models import User
from clusters.services import quotas


@receiver(pre_delete, sender=User)
def forget_user(instance: User, **_: Any) -> None:
    quotas.forget_user(instance)
