"""Webhooks from an event to a real receiver."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F

from clusters.endpoints import address_policy, attachment
from deployments.api.feed.shown import shown_each
from deployments.feed import window
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.subscriptions import DeliveryStatus, Webhook, WebhookDelivery
from deployments.tests.webhooks.receiver import Receiver, is_signed, receiving
from deployments.webhooks import dispatch, sending, services
from mlops_platform.api.answers.commit_order import Position
from mlops_platform.api.errors import Conflict
from mlops_platform.database.clock import database_now
from organizations.models import OrganizationEvent

pytestmark = pytest.mark.django_db(transaction=True)
SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """It is on this host, where no organization may have one."""
    for module in (address_policy, attachment):
        monkeypatch.setattr(module, "refusal", lambda _: None)
    with receiving() as found:
        yield found


@pytest.fixture
def added(receiver: Receiver, ada: Any, org: Any) -> services.NewWebhook:
    return services.add_webhook(ada, org.pk, receiver.url)


def turn(added: services.NewWebhook) -> None:
    """What the timer's job and a worker do."""
    dispatch.run(shown_each)
    sending.take_turn(added.webhook.pk)


def due_now() -> None:
    """The pauses are over."""
    WebhookDelivery.objects.update(next_at=F("created_at"))
    Webhook.objects.update(not_before=None)


def of(added: services.NewWebhook) -> Webhook:
    return Webhook.objects.get(pk=added.webhook.pk)


def test_each_event_arrives_once_signed_and_as_the_feed_has_it(
    api, ada, dev, org, cluster, receiver, added
):
    row = create_deployment(dev, cluster.pk, SPEC).deployment
    stop_one(row, dev)
    for _ in range(3):
        turn(added)
    got = receiver.bodies()
    assert [each["type"] for each in got] == ["WEBHOOK_CREATED", "SUBMITTED", "STOPPED"]
    feed = api(ada).get(f"/api/orgs/{org.pk}/events").json()
    assert [each["data"] for each in got] == feed[-3:]
    assert all(is_signed(added.secret, headers, body) for _, headers, body in receiver.got)
    assert len(set(receiver.ids())) == 3
    assert {each.status for each in of(added).deliveries.all()} == {DeliveryStatus.DELIVERED}


def test_types_choose_and_slack_gets_a_sentence(ada, dev, org, cluster, receiver):
    added = services.add_webhook(ada, org.pk, receiver.url, "slack", ["STOPPED"])
    row = create_deployment(dev, cluster.pk, {**SPEC, "name": "train"}).deployment
    stop_one(row, dev)
    turn(added)
    assert receiver.bodies() == [{"text": f"train of dev in {cluster.name}: STOPPED (by dev)"}]
    assert "webhook-signature" not in receiver.got[0][1]


def test_nothing_of_a_transaction_that_is_rolled_back_or_of_another_organization_is_sent(
    ada, dev, sam, sams_org, org, cluster, receiver, added
):
    turn(added)
    with transaction.atomic():
        create_deployment(dev, cluster.pk, SPEC)
        transaction.set_rollback(True)
    services.add_webhook(sam, sams_org.pk, "https://192.0.2.7/")
    turn(added)
    assert [each["type"] for each in receiver.bodies()] == ["WEBHOOK_CREATED"]


def test_two_readers_of_the_same_place_make_one_delivery(dev, cluster, added):
    create_deployment(dev, cluster.pk, SPEC)
    webhook, seen = of(added), window.seen_now()
    place = Position(webhook.transaction_id, webhook.row)
    for _ in range(2):
        dispatch._read(place, [webhook], seen, shown_each)
    assert [each.type for each in webhook.deliveries.order_by("pk")] == [
        "WEBHOOK_CREATED",
        "SUBMITTED",
    ]


@pytest.mark.parametrize(("status", "waits"), [(500, True), (429, True), (404, False)])
def test_what_is_not_taken_is_sent_again_after_growing_pauses(
    dev, cluster, receiver, added, status, waits
):
    create_deployment(dev, cluster.pk, SPEC)
    receiver.status = status
    turn(added)
    assert len(receiver.got) == (1 if waits else 2), "while it does not answer, others wait"
    first = of(added).deliveries.earliest("pk")
    assert (first.status, first.answer, first.attempts) == (DeliveryStatus.PENDING, status, 1)
    assert of(added).failing_since is not None
    pauses = []
    for _ in range(2):
        due_now()
        sending.take_turn(added.webhook.pk)
        first.refresh_from_db()
        pauses.append(first.next_at - database_now())
    assert pauses[0] > timedelta(seconds=20)
    assert pauses[1] > 2 * pauses[0]
    receiver.status = 200
    due_now()
    sending.take_turn(added.webhook.pk)
    assert {each.status for each in of(added).deliveries.all()} == {DeliveryStatus.DELIVERED}
    assert len(set(receiver.ids())) == 2, "each attempt of an event has its id"
    assert (of(added).failing_since, of(added).failures) == (None, 0)


def test_a_delivery_fails_for_good_after_the_last_attempt(receiver, added):
    receiver.status = 400
    turn(added)
    for _ in sending.PAUSES_S:
        due_now()
        sending.take_turn(added.webhook.pk)
    [delivery] = of(added).deliveries.all()
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.FAILED, len(receiver.got))
    assert delivery.finished_at is not None


def test_a_slow_receiver_is_given_up_at_the_deadline(receiver, added, monkeypatch):
    monkeypatch.setattr(sending, "CALL_S", 0.2)
    receiver.slow = True
    turn(added)
    [delivery] = of(added).deliveries.all()
    assert (delivery.status, delivery.answer) == (DeliveryStatus.PENDING, None)
    assert "longer than" in delivery.error


def test_a_redirect_is_not_followed(receiver, added):
    receiver.status, receiver.headers = 307, {"Location": f"{receiver.url}/elsewhere"}
    turn(added)
    assert [path for path, _, _ in receiver.got] == ["/hook"]
    assert of(added).deliveries.get().answer == 307


def test_a_name_that_leads_to_this_host_later_is_not_connected_to(receiver, added, monkeypatch):
    monkeypatch.setattr(address_policy, "refusal", lambda address: f"{address}: ask an operator.")
    turn(added)
    assert receiver.got == []
    assert of(added).deliveries.get().error == (
        "The host leads to where only an operator may attach."
    )


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "https://[::1]/", "http://169.254.169.254/", "ftp://192.0.2.7/", "x"],
)
def test_addresses_at_which_a_tenant_may_attach_nothing_are_refused(api, ada, org, url):
    answer = api(ada).post(f"/api/orgs/{org.pk}/webhooks", {"url": url})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["url"]
    assert not Webhook.objects.exists()


def test_a_receiver_that_fails_for_long_is_switched_off_with_an_event(receiver, added):
    receiver.status = 503
    Webhook.objects.update(failing_since=database_now() - timedelta(hours=73))
    turn(added)
    assert not of(added).enabled
    event = OrganizationEvent.objects.latest("pk")
    assert (event.type, event.target_name) == ("WEBHOOK_SWITCHED_OFF", "127.0.0.1")
    services.change_webhook(of(added), {"enabled": True})
    assert (of(added).enabled, of(added).failing_since) == (True, None)


@pytest.mark.parametrize("outcome", [(204, ""), (404, "The receiver answered 404.")])
@pytest.mark.parametrize("change", [{"enabled": False}, {"url": "https://192.0.2.7/"}])
def test_what_an_admin_does_during_an_attempt_counts(receiver, added, outcome, change):
    def changed_meanwhile(*_: Any) -> sending.Outcome:
        services.change_webhook(of(added), change)
        return sending.Outcome(*outcome)

    for _ in range(2):
        services.ping(added.webhook.created_by, of(added))
    sending.take_turn(added.webhook.pk, changed_meanwhile)
    assert {name: getattr(of(added), name) for name in change} == change
    assert of(added).failing_since is None
    tried = of(added).deliveries.filter(attempts__gt=0)
    assert tried.count() == 1, "no other is sent as before the change"


def test_a_receiver_that_is_gone_is_switched_off_at_once(receiver, added):
    receiver.status = 410
    turn(added)
    assert not of(added).enabled


def test_a_delivery_is_sent_again_and_a_test_is_sent(api, ada, org, receiver, added):
    turn(added)
    path = f"/api/orgs/{org.pk}/webhooks/{added.webhook.pk}"
    [delivery] = api(ada).get(f"{path}/deliveries").json()
    assert (delivery["status"], delivery["answer"]) == ("delivered", 204)
    assert api(ada).post(f"{path}/deliveries/{delivery['id']}/resend").status_code == 200
    assert api(ada).post(f"{path}/deliveries/{delivery['id']}/resend").status_code == 409
    sending.take_turn(added.webhook.pk)
    assert receiver.ids() == [f"msg_{delivery['id'].replace('-', '')}"] * 2
    assert api(ada).post(f"{path}/test").status_code == 201
    sending.take_turn(added.webhook.pk)
    assert receiver.bodies()[-1]["type"] == "PING"


def test_in_another_life_of_the_database_it_begins_anew(dev, cluster, receiver, added):
    create_deployment(dev, cluster.pk, SPEC)
    Webhook.objects.update(life="before", transaction_id=2**60)
    turn(added)
    assert receiver.got == []
    create_deployment(dev, cluster.pk, SPEC)
    turn(added)
    assert [each["type"] for each in receiver.bodies()] == ["SUBMITTED"]


def test_an_organization_takes_no_more_threads_than_its_share(org, receiver, added):
    dispatch.run(shown_each)
    keys = {"organization": str(org.pk)}
    taken = [sending.SLOTS.acquire(keys) for _ in range(3)]
    try:
        assert taken == [True, True, False]
        sending.take_turn(added.webhook.pk)
        assert receiver.got == []
    finally:
        for _ in range(2):
            sending.SLOTS.release(keys)


def test_a_webhook_that_is_far_behind_leaves_the_rest_in_the_feed(
    dev, cluster, receiver, added, monkeypatch
):
    monkeypatch.setattr(dispatch, "MOST_PENDING", 2)
    monkeypatch.setattr(dispatch, "WINDOW", 2)
    for _ in range(5):
        create_deployment(dev, cluster.pk, SPEC)
    dispatch.run(shown_each)
    assert of(added).deliveries.count() == 2
    for _ in range(4):
        turn(added)
    assert [each["type"] for each in receiver.bodies()] == ["WEBHOOK_CREATED", *["SUBMITTED"] * 5]


def test_what_was_delivered_long_ago_is_not_read_for_what_is_new(added):
    now = database_now()
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(webhook=added.webhook, type="PING", status="delivered", created_at=now)
        for _ in range(3000)
    )
    services.ping(added.webhook.created_by, added.webhook)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE deployments_webhookdelivery")
    plan = dispatch._with_room().explain(analyze=True)
    assert "delivery_due" in plan
    assert "Seq Scan on deployments_webhookdelivery" not in plan


def test_the_secret_is_shown_once_and_in_no_event(api, ada, org, receiver):
    path = f"/api/orgs/{org.pk}/webhooks"
    made = api(ada).post(path, {"url": receiver.url}).json()
    assert made["secret"].startswith("whsec_")
    assert "secret" not in api(ada).get(f"{path}/{made['id']}").json()
    event = OrganizationEvent.objects.latest("pk")
    assert made["secret"] not in repr(vars(event))
    assert "/hook" not in repr(vars(event)), "a path may be as good as a password"


def test_there_is_a_most(ada, org, receiver, settings):
    settings.MAX_WEBHOOKS = 1
    services.add_webhook(ada, org.pk, receiver.url)
    with pytest.raises(Conflict):
        services.add_webhook(ada, org.pk, receiver.url)
