"""The deletion of logins and sessions that have expired."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts import forget
from accounts.models import Login, User
from accounts.services import begin_login


@pytest.mark.django_db
def test_only_expired_logins_are_deleted(ada: User) -> None:
    for _ in range(2):
        begin_login(ada)
    old, new = Login.objects.order_by("pk")
    Login.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert sum(forget.logins()) == 1
    assert list(Login.objects.all()) == [new]


@pytest.mark.django_db
def test_what_an_earlier_version_kept_goes_too(ada: User) -> None:
    late = timezone.now() - timedelta(days=1)
    OutstandingToken.objects.create(user=ada, jti="x", token="x", expires_at=late)
    assert sum(forget.logins()) == 1
    assert not OutstandingToken.objects.exists()


@pytest.mark.django_db
def test_sessions_go_once_they_have_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "BATCH", 2)
    now = timezone.now()
    for number in range(5):
        Session.objects.create(
            session_key=f"old{number}", session_data="", expire_date=now - timedelta(seconds=1)
        )
    Session.objects.create(session_key="new", session_data="", expire_date=now + timedelta(hours=1))
    assert list(forget.sessions()) == [2, 2, 1]
    assert [each.session_key for each in Session.objects.all()] == ["new"]
