"""Events by mail, to a real SMTP server."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import User
from deployments.api.feed.shown import shown_each
from deployments.models import Webhook
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.subscriptions import DeliveryStatus
from deployments.tests.webhooks.mail_server import MailServer, taking_mail
from deployments.webhooks import dispatch, sending, services
from organizations.models import Membership

pytestmark = pytest.mark.django_db(transaction=True)
SPEC = {"image": "x", "name": "train", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}
ADDRESS = "Dev@example.org"


@pytest.fixture
def mail(settings: Any, dev: User) -> Iterator[MailServer]:
    User.objects.filter(pk=dev.pk).update(email=ADDRESS, verified_email=ADDRESS.lower())
    with taking_mail() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.PUBLIC_URL = "https://ml.example.org"
        yield server


def stopped(ada: User, dev: User, org: Any, cluster: Any) -> Webhook:
    """A webhook, and an event for it."""
    webhook = services.add_webhook(ada, org.pk, ADDRESS, "email", ["STOPPED"]).webhook
    stop_one(create_deployment(dev, cluster.pk, SPEC).deployment, dev)
    dispatch.run(shown_each)
    return webhook


def test_an_event_is_mailed_as_a_sentence(ada, dev, org, cluster, mail):
    webhook = stopped(ada, dev, org, cluster)
    sending.take_turn(webhook.pk)
    [(recipient, text)] = mail.got
    sentence = f"train of dev in {cluster.name}: STOPPED (by dev)"
    assert recipient == ADDRESS
    assert f"Subject: {sentence}" in text.replace("\r\n ", " ")
    assert "https://ml.example.org/console/" in text
    assert webhook.deliveries.get().status == DeliveryStatus.DELIVERED


def test_a_mail_that_is_not_taken_is_sent_again(ada, dev, org, cluster, mail):
    webhook = stopped(ada, dev, org, cluster)
    mail.refuses = True
    sending.take_turn(webhook.pk)
    assert mail.got == []
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.PENDING, 1)
    assert "mail server" in delivery.error


def test_a_member_who_has_left_gets_nothing(ada, dev, org, cluster, mail):
    webhook = stopped(ada, dev, org, cluster)
    Membership.objects.filter(user=dev).delete()
    sending.take_turn(webhook.pk)
    assert mail.got == []
    assert "of a member any more" in webhook.deliveries.get().error


@pytest.mark.parametrize("address", ["sam@example.org", "https://192.0.2.7/", "x"])
def test_only_members_who_have_verified_the_address_get_mail(api, ada, org, mail, address):
    body = {"url": address, "format": "email"}
    answer = api(ada).post(f"/api/orgs/{org.pk}/webhooks", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["url"])
    assert not Webhook.objects.exists()


def test_without_a_mail_server_it_is_refused(api, ada, dev, org, settings):
    settings.EMAIL_HOST = ""
    body = {"url": ADDRESS, "format": "email"}
    answer = api(ada).post(f"/api/orgs/{org.pk}/webhooks", body)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["format"])
