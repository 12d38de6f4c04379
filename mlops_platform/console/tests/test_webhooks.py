"""The page of an organization's webhooks."""

import re

import pytest

from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery
from mlops_platform.console.tests.test_submit import browser, text_of
from mlops_platform.tests.equipment.world import World, fingerprint

URL = "https://203.0.113.7/hook"


def path(world: World) -> str:
    return f"/console/organizations/{world.ids['organization_id']}/webhooks/"


def added(world: World) -> Webhook:
    answer = browser(world, "admin").post(
        path(world), {"do": "add", "url": URL, "format": "slack", "events": ["FAILED"]}
    )
    assert answer.status_code == 200, answer.content
    return Webhook.objects.get(url=URL)


@pytest.mark.parametrize(
    ("person", "status"), [("viewer", 403), ("developer", 403), ("stranger", 404)]
)
def test_others_see_and_change_nothing(world: World, person: str, status: int) -> None:
    webhook = added(world)
    client = browser(world, person)
    before = fingerprint()
    assert client.get(path(world)).status_code == status
    for button in ("add", "switch", "delete", "test", "send_again"):
        form = {"do": button, "webhook": str(webhook.pk), "url": URL, "format": "slack"}
        assert client.post(path(world), form).status_code == status
    assert fingerprint() == before


def test_a_secret_is_shown_once_and_the_webhook_switched_tested_and_deleted(world: World) -> None:
    client = browser(world, "admin")
    form = {"do": "add", "url": URL, "format": "standard", "events": ["FAILED", "PREEMPTED"]}
    text = text_of(client.post(path(world), form))
    secret = re.search(r"<code>(whsec_[^<]+)</code>", text)
    assert secret is not None, text
    shown = text_of(client.get(path(world)))
    assert secret[1] not in shown
    assert "FAILED, PREEMPTED" in shown
    webhook = Webhook.objects.get(url=URL)
    assert "A test is on its way." in press(world, do="test", webhook=webhook)
    assert "It is switched off." in press(world, do="switch", webhook=webhook)
    webhook.refresh_from_db()
    assert not webhook.enabled
    assert "The webhook is deleted." in press(world, do="delete", webhook=webhook)
    assert not Webhook.objects.filter(pk=webhook.pk).exists()


def press(world: World, do: str, webhook: Webhook, **more: str) -> str:
    form = {"do": do, "webhook": str(webhook.pk), **more}
    return text_of(browser(world, "admin").post(path(world), form, follow=True))


def test_what_has_failed_is_sent_again(world: World) -> None:
    webhook = added(world)
    delivery = WebhookDelivery.objects.create(
        webhook=webhook, type="FAILED", body="{}", status=DeliveryStatus.FAILED, error="Refused."
    )
    assert "Refused." in text_of(browser(world, "admin").get(path(world)))
    said = press(world, do="send_again", webhook=webhook, delivery=str(delivery.pk))
    assert "It is sent again." in said
    delivery.refresh_from_db()
    assert delivery.status == DeliveryStatus.PENDING


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"url": "ftp://x", "format": "standard"}, "url: "),
        ({"url": "http://127.0.0.1/", "format": "standard"}, "url: "),
        ({"url": URL, "format": "pigeon"}, "format: "),
        ({"url": URL, "format": "slack", "events": "NOTHING"}, "events"),
    ],
)
def test_a_field_at_fault_is_named_and_nothing_is_added(
    world: World, form: dict[str, str], said: str
) -> None:
    client = browser(world, "admin")
    before = fingerprint()
    text = text_of(client.post(path(world), {"do": "add", **form}))
    assert said in re.sub(r"<[^>]+>", "", text.partition("<table")[0])
    assert fingerprint() == before
