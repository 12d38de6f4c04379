"""The operators' pages of users."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse
from django.utils import timezone

from accounts.keys.services import create_key
from accounts.models import User
from mlops_platform.api.scopes import KeyScope
from organizations.tests.people import PASSWORD, make_user


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def test_the_list_costs_the_same_for_few_and_many(operator, django_assert_num_queries):
    page = reverse("admin:accounts_user_changelist")
    for size in (2, 20):
        for number in range(size):
            make_user(f"user-{size}-{number}")
        # the session, the operator, the count twice, the list
        with django_assert_num_queries(5):
            answer = operator.get(page)
        assert answer.status_code == 200
        assert f"user-{size}-0" in answer.content.decode()


def test_an_operator_finds_adds_and_changes_a_user(operator):
    add = reverse("admin:accounts_user_add")
    assert operator.get(add).status_code == 200
    body = {"username": "ada", "usable_password": "true"}
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    assert operator.post(add, body | passwords).status_code == 302
    ada = User.objects.get(username="ada")
    assert ada.check_password(PASSWORD)
    assert ada.profile.timezone == "UTC"

    twice = operator.post(add, {**body, **passwords, "username": "ADA"})
    assert twice.status_code == 200
    assert User.objects.count() == 2

    page = reverse("admin:accounts_user_change", args=[ada.pk])
    answer = operator.get(page)
    assert "profile-0-timezone" in answer.content.decode()
    found = operator.get(reverse("admin:accounts_user_changelist"), {"q": "AD"})
    assert str(ada.pk) in found.content.decode()


def test_the_admin_is_for_staff(client, ada):
    client.force_login(ada)
    assert client.get(reverse("admin:accounts_user_changelist")).status_code == 302


def test_a_session_ends_12_hours_after_the_login_however_busy_it_is(client, db, monkeypatch):
    User.objects.create_superuser("root", password=PASSWORD)
    asked = timezone.now()
    client.post("/admin/login/", {"username": "root", "password": PASSWORD})
    ends = Session.objects.get().expire_date
    assert timedelta(0) <= ends - asked - timedelta(hours=12) < timedelta(seconds=30)
    assert int(client.cookies["sessionid"]["max-age"]) <= 12 * 3600

    monkeypatch.setattr(timezone, "now", lambda: asked + timedelta(hours=11))
    session = client.session
    session["seen"] = True
    session.save()
    assert Session.objects.get().expire_date == ends
    assert client.get("/admin/").status_code == 200
    monkeypatch.setattr(timezone, "now", lambda: asked + timedelta(hours=12, minutes=1))
    assert client.get("/admin/").status_code == 302


def test_an_operator_sees_keys_without_their_secrets_and_revokes_them(operator, ada):
    made = create_key(ada, "nightly", KeyScope.SUBMIT)
    page = reverse("admin:accounts_apikey_changelist")
    for path in (page, reverse("admin:accounts_apikey_change", args=[made.key.pk])):
        shown = operator.get(path).content.decode()
        assert "nightly" in shown
        assert made.token[:12] in shown
        assert made.token[12:] not in shown
        assert made.key.digest not in shown
    assert operator.get(reverse("admin:accounts_apikey_add")).status_code == 403
    form = {"action": "revoke", "_selected_action": [str(made.key.pk)]}
    assert operator.post(page, form).status_code == 302
    made.key.refresh_from_db()
    assert made.key.revoked_at is not None
