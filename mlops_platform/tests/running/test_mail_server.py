"""Invitations and password resets go through a real SMTP server, also one that refuses or hangs."""

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from smtplib import SMTPException
from typing import Any

import pytest
from celery.signals import task_retry
from django.utils import timezone

from accounts.models import User
from accounts.recovery import passwords
from accounts.tasks import send_reset
from deployments.tests.webhooks.mail_server import MailServer, taking_mail
from organizations.invitations import services
from organizations.models import Invitation, Membership, Role
from organizations.tasks import request_unsent, send_invitation
from organizations.tests.people import client_for, make_user

pytestmark = pytest.mark.django_db
GRACE, SITE = "grace@example.org", "https://ml.example.org"
NEW = "wrong-zebra-accumulator"


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with taking_mail() as found:
        yield found


@pytest.fixture
def mail(server: MailServer, settings: Any) -> MailServer:
    """The platform sends by the server, which has taken nothing yet."""
    server.got.clear()
    server.refuses = False
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
    settings.DEFAULT_FROM_EMAIL = "Platform <ml@example.org>"
    settings.PUBLIC_URL = SITE
    return server


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What workers are asked to mail: ids of invitations, and addresses."""
    found: list[str] = []
    monkeypatch.setattr(services, "request_mail", lambda key: found.append(str(key)))
    monkeypatch.setattr(passwords, "request_mail", lambda _, email: found.append(email))
    return found


@pytest.fixture
def hanging(mail: MailServer, settings: Any) -> Iterator[None]:
    """A server that takes connections, and says nothing."""
    assert settings.EMAIL_TIMEOUT == 10  # seconds: else a worker would wait for ever
    settings.EMAIL_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings.EMAIL_PORT = listening.getsockname()[1]
        yield


def invite(ada: User, org: Any) -> str:
    body = {"role": "DEVELOPER", "email": GRACE}
    answer = client_for(ada).post(f"/api/orgs/{org.pk}/invitations", body)
    assert answer.status_code == 201
    return str(answer.json()["id"])


def forgotten() -> str:
    make_user("grace", email=GRACE, verified_email=GRACE)
    return GRACE


def only_mail(server: MailServer) -> EmailMessage:
    [(recipient, text)] = server.got
    assert recipient == GRACE
    found = message_from_string(text, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert (found["From"], found["To"]) == ("Platform <ml@example.org>", GRACE)
    return found


def link_of(found: EmailMessage, path: str) -> str:
    """The token of the one link, as a reader sees the mail."""
    [line] = [each for each in found.get_content().split() if each.startswith(f"{SITE}/sign-on/")]
    before, _, token = line.rpartition("/")
    assert before == f"{SITE}/sign-on/{path}"
    return str(token)


def test_the_link_of_a_mailed_invitation_lets_its_reader_join(
    mail, ada, org, requested, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        key = invite(ada, org)
    assert requested == [key]
    send_invitation(key)
    found = only_mail(mail)
    assert found["Subject"] == f"ada invites you to {org.name}"
    grace = make_user("grace", email=GRACE)
    page = client_for(grace)
    token = link_of(found, "join")
    assert page.post("/api/orgs/join", {"invite_code": token}).status_code == 200
    assert Membership.objects.get(user=grace, organization=org).role == Role.DEVELOPER


def test_the_link_of_a_mailed_reset_sets_another_password(mail, anyone, requested):
    forgotten()
    assert anyone.post("/api/auth/password/reset", {"email": GRACE}).status_code == 202
    assert requested == [GRACE]
    send_reset(GRACE)
    found = only_mail(mail)
    assert found["Subject"] == "Set a new password"
    body = {"token": link_of(found, "reset-password"), "new_password": NEW}
    assert anyone.post("/api/auth/password/reset/confirm", body).status_code == 204
    assert User.objects.get(username="grace").check_password(NEW)


@pytest.fixture(params=["refuses", "hangs"])
def unwilling(request: pytest.FixtureRequest, mail: MailServer) -> Callable[[], None]:
    """A server that does not take mail; calling it makes the server take mail again."""
    settings = request.getfixturevalue("settings")
    mail.refuses = request.param == "refuses"
    if request.param == "hangs":
        request.getfixturevalue("hanging")

    def recover() -> None:
        mail.refuses, settings.EMAIL_PORT = False, mail.port

    return recover


def test_an_invitation_that_the_server_does_not_take_is_mailed_later(
    mail, unwilling, api, ada, org, requested
):
    key = invite(ada, org)
    with pytest.raises((SMTPException, OSError)):
        send_invitation(key)
    shown = api(ada).get(f"/api/orgs/{org.pk}/invitations/{key}").json()
    assert (mail.got, shown["state"]) == ([], "sending")
    unwilling()
    Invitation.objects.update(tried_at=timezone.now() - services.AGAIN - timedelta(seconds=1))
    request_unsent()
    assert requested[-1] == key
    send_invitation(key)
    link_of(only_mail(mail), "join")


def test_a_reset_that_the_server_does_not_take_is_tried_again_by_its_task(mail, unwilling):
    forgotten()
    failures: list[type[BaseException]] = []

    def note(reason: Any, **_: Any) -> None:
        failures.append(type(reason.exc))
        unwilling()

    task_retry.connect(note, sender=send_reset)
    try:
        send_reset.apply((GRACE,))  # with its retries, without the pauses between them
    finally:
        task_retry.disconnect(note, sender=send_reset)
    assert len(failures) == 1
    assert issubclass(failures[0], SMTPException | OSError)
    link_of(only_mail(mail), "reset-password")
