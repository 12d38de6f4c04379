"""Replaces the codes that a user knows when the account is deleted or deactivated, and adopts the
events of a restored database."""

from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as present_apps
from django.db.models.signals import pre_delete, pre_save
from django.dispatch import receiver

from accounts.models import User
from organizations.codes import replace_codes_known_to
from organizations.events.accounts import note_deletion
from organizations.events.recording import adopt_restored


@receiver(pre_delete, sender=User)
def on_user_deleted(instance: User, **_: Any) -> None:
    replace_codes_known_to(instance)
    note_deletion(instance)


@receiver(pre_save, sender=User)
def on_user_deactivated(instance: User, raw: bool = False, **_: Any) -> None:
    """One query for an inactive user, none for others."""
    if raw or instance.is_active:
        return
    if User.objects.filter(pk=instance.pk, is_active=True).exists():
        replace_codes_known_to(instance)


def on_migrated(using: str, apps: Apps = present_apps, **_: Any) -> None:
    adopt_restored(using, apps)
