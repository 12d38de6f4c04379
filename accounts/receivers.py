"""Every user has a profile, whichever door they came through."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import User, UserProfile


@receiver(post_save, sender=User)
def give_profile(instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        UserProfile.objects.create(user=instance)
