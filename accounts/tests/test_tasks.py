"""The daily deletion of expired tokens."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import Login, User
from accounts.services import begin_login
from accounts.tasks import forget_expired_tokens


@pytest.mark.django_db
def test_only_expired_logins_are_deleted(ada: User) -> None:
    for _ in range(2):
        begin_login(ada)
    old, new = Login.objects.order_by("pk")
    Login.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=1))
    forget_expired_tokens()
    assert list(Login.objects.all()) == [new]


@pytest.mark.django_db
def test_what_an_earlier_version_kept_goes_too(ada: User) -> None:
    late = timezone.now() - timedelta(days=1)
    OutstandingToken.objects.create(user=ada, jti="x", token="x", expires_at=late)
    forget_expired_tokens()
    assert not OutstandingToken.objects.exists()
