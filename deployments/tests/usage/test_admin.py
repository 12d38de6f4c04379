"""The operators' pages of usage and prices."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from deployments.admin import usage
from deployments.models import AllocationInterval, Price, UsageOfDay
from deployments.tests.usage.test_usage import DAY, HOUR, record
from deployments.usage import rollups
from organizations.models import Organization, OrganizationEvent
from organizations.tests.people import PASSWORD

pytestmark = pytest.mark.django_db
PRICES = "/admin/deployments/price/"
GIVEN = {"rank": "3", "label": "gpu", "value": "a100", "gpu_hour": "2.5", "core_hour": "0"}


@pytest.fixture
def operator(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def price(org: Organization, **changes: str) -> dict[str, str]:
    return {"organization": str(org.pk), "gib_hour": "0.005", **GIVEN, **changes}


def test_an_operator_adds_changes_and_deletes_a_price(operator: Client, org: Organization) -> None:
    assert operator.post(f"{PRICES}add/", price(org)).status_code == 302
    made = Price.objects.get()
    assert (made.label, made.value, float(made.gpu_hour), made.rank) == ("gpu", "a100", 2.5, 3)
    address = f"{PRICES}{made.pk}/"
    assert operator.post(f"{address}change/", price(org, gpu_hour="3")).status_code == 302
    assert operator.post(f"{address}delete/", {"post": "yes"}).status_code == 302
    assert not Price.objects.exists()
    events = OrganizationEvent.objects.order_by("pk")
    sides: Any = events.filter(type="ORGANIZATION_CHANGED").values_list("before", "after")
    hours = [[[each["gpu_hour"] for each in side["prices"]] for side in both] for both in sides]
    assert hours == [[[], [2.5]], [[2.5], [3.0]], [[3.0], []]]


@pytest.mark.parametrize(
    "fault",
    [
        {"gpu_hour": "-1"},
        {"gpu_hour": "0.0001"},
        {"core_hour": "1000001"},
        {"gib_hour": ""},
        {"label": ""},
        {"label": "a b"},
        {"value": "a b"},
        {"rank": "5"},
    ],
)
def test_a_faulty_price_is_refused_and_changes_nothing(
    operator: Client, org: Organization, fault: dict[str, str]
) -> None:
    amounts: dict[str, Any] = dict.fromkeys(("gpu_hour", "core_hour", "gib_hour"), 1)
    Price.objects.create(organization=org, rank=5, **amounts)
    answer = operator.post(f"{PRICES}add/", price(org, **fault))
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    assert Price.objects.count() == 1


def test_no_organization_gets_more_prices_than_by_the_api(
    operator: Client, org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MOST_PRICES", 1)
    assert operator.post(f"{PRICES}add/", price(org)).status_code == 302
    assert operator.post(f"{PRICES}add/", price(org, rank="4")).status_code == 200
    [made] = Price.objects.all()
    changed = operator.post(f"{PRICES}{made.pk}/change/", price(org, gpu_hour="4"))
    assert changed.status_code == 302


@pytest.mark.parametrize("model", [AllocationInterval, UsageOfDay])
def test_usage_is_found_by_the_whole_names_of_its_user_or_cluster_among_the_newest(
    operator: Client,
    org: Organization,
    ada: User,
    dev: User,
    model: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record(org, dev, DAY, DAY + HOUR)
    record(org, ada, DAY, DAY + HOUR, cluster="east")
    list(rollups.sum_up(DAY + 30 * HOUR, batch=1))
    address = f"/admin/deployments/{model._meta.model_name}/"

    def found(term: str) -> set[str]:
        answer = operator.get(address, {"q": term})
        return {row.username for row in answer.context["cl"].result_list}

    both = {ada.username, dev.username}
    searches = {"": both, "  EAST ": {ada.username}, dev.username: {dev.username}, "eas": set()}
    assert {term: found(term) for term in searches} == searches
    newest = model.objects.latest("pk")
    monkeypatch.setattr(usage, "LOOKED_AT", 1)
    assert found(dev.username) | found(ada.username) == {newest.username}
