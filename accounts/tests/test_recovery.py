"""POST /api/auth/password/reset, /api/auth/email/verify, their confirmations and their pages"""

from datetime import timedelta

import pytest
from celery import current_app
from django.contrib.auth.tokens import default_token_generator
from django.core import mail
from django.test import Client

from accounts.models import Login, User
from accounts.recovery import addresses, mails, passwords
from accounts.services import begin_login
from accounts.tasks import send_reset, send_verification
from organizations.tests.people import PASSWORD, make_user

NEW = "wrong-zebra-accumulator"
RESET, CONFIRM = "/api/auth/password/reset", "/api/auth/password/reset/confirm"
VERIFY, VERIFIED = "/api/auth/email/verify", "/api/auth/email/verify/confirm"


@pytest.fixture
def asked(settings, monkeypatch):
    """A platform that sends mail, with its requests to workers in a list."""
    settings.EMAIL_HOST, settings.PUBLIC_URL = "smtp.example.org", "https://ml.example.org"
    found: list[tuple[str, str]] = []
    monkeypatch.setattr(passwords, "request_mail", lambda *sent: found.append(sent))
    monkeypatch.setattr(addresses, "request_mail", lambda *sent: found.append(sent))
    return found


@pytest.fixture
def grace(db):
    return make_user("grace", email="Grace@example.org", verified_email="grace@example.org")


def token_of_mail(path):
    return mail.outbox[-1].body.partition(f"https://ml.example.org/sign-on/{path}/")[2].split()[0]


def test_a_mailed_link_sets_another_password_once(anyone, asked, grace):
    begin_login(grace)
    answer = anyone.post(RESET, {"email": "grace@EXAMPLE.org"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert asked == [(mails.RESET, "grace@EXAMPLE.org")]
    send_reset("grace@EXAMPLE.org")
    body = {"token": token_of_mail("reset-password"), "new_password": NEW}
    assert anyone.post(CONFIRM, body).status_code == 204
    assert not Login.objects.filter(user=grace).exists()
    grace.refresh_from_db()
    assert grace.check_password(NEW)
    again = anyone.post(CONFIRM, {**body, "new_password": "yet-another-zebra"})
    assert again.json()["fields"] == {"token": [passwords.BAD_LINK]}


def test_the_page_of_the_link_sets_another_password_and_ends_sessions(asked, grace):
    browser, other = Client(enforce_csrf_checks=True), Client()
    other.force_login(grace)
    url = f"/sign-on/reset-password/{passwords.token_for(grace)}"
    shown = browser.get(url)
    assert "For grace" in shown.content.decode()
    assert shown["Referrer-Policy"] == "no-referrer"
    form = {"csrfmiddlewaretoken": shown.context["csrf_token"]}
    assert browser.post(url, {"new_password": NEW}).status_code == 403
    weak = browser.post(url, {**form, "new_password": "12345678"})
    assert (weak.status_code, b"too common" in weak.content) == (400, True)
    assert b"Your password is set" in browser.post(url, {**form, "new_password": NEW}).content
    assert browser.get(url).status_code == 404
    grace.refresh_from_db()
    assert grace.check_password(NEW)
    assert other.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    "change",
    [
        {"verified_email": None},
        {"verified_email": None, "email": ""},
        {"email": "other@example.org"},
        {"is_active": False},
        {"password": "!unusable"},
    ],
)
def test_what_is_not_verified_or_may_not_log_in_gets_no_mail(anyone, asked, grace, change):
    User.objects.filter(pk=grace.pk).update(**change)
    answers = [
        anyone.post(RESET, {"email": each}) for each in ("grace@example.org", "no@example.org")
    ]
    assert [(each.status_code, each.content) for each in answers] == [(202, b"")] * 2
    for _, email in asked:
        send_reset(email)
    assert mail.outbox == []


@pytest.mark.parametrize("change", ["password", "email", "inactive", "an hour"])
def test_a_link_ends_with_what_it_was_made_for(anyone, grace, change, monkeypatch):
    token = passwords.token_for(grace)
    if change == "password":
        grace.set_password(NEW + "1")
    elif change == "email":
        grace.email = "new@example.org"
    elif change == "inactive":
        grace.is_active = False
    else:
        later = default_token_generator._now() + timedelta(seconds=3602)
        monkeypatch.setattr(default_token_generator, "_now", lambda: later)
    grace.save()
    refused = anyone.post(CONFIRM, {"token": token, "new_password": NEW})
    assert (refused.status_code, set(refused.json()["fields"])) == (400, {"token"})
    grace.refresh_from_db()
    assert not grace.check_password(NEW)


@pytest.mark.parametrize("token", ["x", "-", "0199d1c27a3e7c519f0a3b1f6f2d8e11-x", "é" * 40])
def test_a_text_that_is_no_link_is_named(anyone, db, token):
    refused = anyone.post(CONFIRM, {"token": token, "new_password": NEW})
    assert set(refused.json()["fields"]) == {"token"}
    assert anyone.post(VERIFIED, {"token": token}).status_code == 400


def test_a_link_of_another_user_counts_for_that_one_alone(anyone, grace, ada):
    grace_token = passwords.token_for(grace)
    forged = f"{ada.pk.hex}-{grace_token.partition('-')[2]}"
    assert anyone.post(CONFIRM, {"token": forged, "new_password": NEW}).status_code == 400
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


def test_a_weak_password_is_named_and_the_link_stays(anyone, grace):
    token = passwords.token_for(grace)
    weak = anyone.post(CONFIRM, {"token": token, "new_password": "grace"})
    assert set(weak.json()["fields"]) == {"new_password"}
    assert anyone.post(CONFIRM, {"token": token, "new_password": NEW}).status_code == 204


def test_without_mail_it_says_so(anyone, api, ada):
    for answer in (anyone.post(RESET, {"email": "a@b.org"}), api(ada).post(VERIFY, {})):
        assert (answer.status_code, answer.json()["code"]) == (409, "no_mail")


def test_without_redis_it_says_so(anyone, db, settings, monkeypatch):
    settings.EMAIL_HOST = "smtp.example.org"

    def lost(*_, **__):
        raise OSError

    monkeypatch.setattr(current_app, "send_task", lost)
    answer = anyone.post(RESET, {"email": "a@b.org"})
    assert (answer.status_code, answer.json()["code"]) == (503, "mail_unavailable")
    assert int(answer["Retry-After"]) > 0


def test_requests_are_throttled_by_address_and_by_client(anyone, db, asked, monkeypatch):
    monkeypatch.setitem(anyone.rates(), "reset_account", "1/min")
    monkeypatch.setitem(anyone.rates(), "reset", "3/min")
    emails = ["a@b.org", "A@b.org", "b@b.org", "c@b.org"]
    statuses = [anyone.post(RESET, {"email": each}).status_code for each in emails]
    assert statuses == [202, 429, 202, 429]


def test_an_address_is_verified_by_its_mail(api, anyone, asked, ada):
    ada.email = "Ada@example.org"
    ada.save(update_fields=["email"])
    assert api(ada).get("/api/users/me").json()["email_verified"] is False
    assert api(ada).post(VERIFY, {}).status_code == 202
    assert asked == [(mails.VERIFY, str(ada.pk))]
    send_verification(str(ada.pk))
    assert mail.outbox[-1].to == ["Ada@example.org"]
    token = token_of_mail("verify-email")
    page = Client()
    assert page.get(f"/sign-on/verify-email/{token}").status_code == 200
    assert api(ada).get("/api/users/me").json()["email_verified"] is False
    assert anyone.post(VERIFIED, {"token": token}).status_code == 204
    assert b"is verified" in page.post(f"/sign-on/verify-email/{token}").content
    assert api(ada).get("/api/users/me").json()["email_verified"] is True
    assert api(ada).post(VERIFY, {}).json()["code"] == "verified_already"
    api(ada).patch("/api/users/me", {"email": "new@example.org"})
    assert api(ada).get("/api/users/me").json()["email_verified"] is False
    assert anyone.post(VERIFIED, {"token": token}).status_code == 400


def test_an_address_is_verified_for_one_user(anyone, grace, ada):
    """In any letter case; of a user who has another address by now, it is free."""
    ada.email = "GRACE@example.org"
    ada.save(update_fields=["email"])
    taken = anyone.post(VERIFIED, {"token": addresses.token_for(ada)})
    assert (taken.status_code, taken.json()["code"]) == (409, "email_taken")
    User.objects.filter(pk=grace.pk).update(email="new@example.org")
    assert anyone.post(VERIFIED, {"token": addresses.token_for(ada)}).status_code == 204
    ada.refresh_from_db()
    grace.refresh_from_db()
    assert (ada.has_verified_email, grace.has_verified_email) == (True, False)


def test_without_an_address_none_is_verified(api, ada, asked):
    assert api(ada).post(VERIFY, {}).json()["code"] == "no_email"
    assert asked == []


def test_mails_of_all_kinds_take_few_threads_of_a_worker_and_are_tried_again(asked, grace):
    for _ in range(mails.MOST_AT_ONCE):
        assert mails.SLOTS.acquire({})
    try:
        for task, argument in ((send_reset, grace.verified_email), (send_verification, "x")):
            with pytest.raises(mails.TooManyMails):
                task(argument)
            assert issubclass(mails.TooManyMails, task.autoretry_for)
        assert mail.outbox == []
    finally:
        for _ in range(mails.MOST_AT_ONCE):
            mails.SLOTS.release({})
    send_reset(grace.verified_email)
    assert len(mail.outbox) == 1
