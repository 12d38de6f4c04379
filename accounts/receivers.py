"""Creates the profile of every new user, of the API as of the admin."""

from typing import Any

from django.db.models.signals import post_save
from django.dispatch import receiver

from accounts.models import User, UserProfile


@receiver(post_save, sender=User)
def on_user_created(instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        UserProfile.objects.create(user=instance)
