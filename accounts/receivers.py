"""Creates the profile of every new user, and limits how long an operator stays logged in."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import User, UserProfile


@receiver(post_save, sender=User)
def on_user_created(instance: User, created: bool, raw: bool = False, **_: Any) -> None:
    if created and not raw:
        UserProfile.objects.create(user=instance)


@receiver(user_logged_in)
def on_operator_logged_in(request: HttpRequest, **_: Any) -> None:
    """The session ends that long after the login, however busy it is: each save of a session would
    otherwise begin its time anew."""
    request.session.set_expiry(timezone.now() + timedelta(seconds=settings.SESSION_COOKIE_AGE))
