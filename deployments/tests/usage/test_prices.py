"""GET, PUT and DELETE /api/orgs/{id}/prices"""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.keys.services import create_key
from accounts.models import User
from deployments.models import Price
from mlops_platform.api.scopes import KeyScope
from organizations.models import Organization
from organizations.tests.people import JsonClient

pytestmark = pytest.mark.django_db
Api = Callable[[User], JsonClient]

PRICES = [
    {"node_labels": {"gpu": "a100"}, "gpu_hour": 2.5, "core_hour": 0.04, "gib_hour": 0.005},
    {"node_labels": {}, "gpu_hour": 1.0, "core_hour": 0.0, "gib_hour": 0.0},
]


def path(org: Organization) -> str:
    return f"/api/orgs/{org.pk}/prices"


def test_an_admin_sets_all_prices_at_once_and_takes_them_away(
    api: Api, org: Organization, ada: User, dev: User
):
    assert api(dev).get(path(org)).json() == {"prices": []}
    for prices in (PRICES, PRICES[::-1], PRICES[:1]):
        answer = api(ada).put(path(org), {"prices": prices})
        assert (answer.status_code, answer.json()) == (200, {"prices": prices})
        assert api(dev).get(path(org)).json() == {"prices": prices}
    assert api(ada).delete(path(org)).status_code == 204
    assert api(dev).get(path(org)).json() == {"prices": []}


@pytest.mark.parametrize(
    "fault",
    [
        {"gpu_hour": -1},
        {"gpu_hour": 0.0001},
        {"gpu_hour": None},
        {"node_labels": {"a": "b", "c": "d"}},
        {"node_labels": {"a b": "c"}},
        {"currency": "EUR"},
    ],
)
def test_a_faulty_price_is_refused_and_changes_nothing(
    api: Api, org: Organization, ada: User, fault: dict[str, Any]
):
    api(ada).put(path(org), {"prices": PRICES})
    before = list(Price.objects.values())
    answer = api(ada).put(path(org), {"prices": [PRICES[0], {**PRICES[1], **fault}]})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["prices"]
    assert list(Price.objects.values()) == before


@pytest.mark.parametrize(("who", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
@pytest.mark.parametrize("method", ["put", "delete"])
def test_only_an_admin_sets_prices(
    api: Api,
    org: Organization,
    ada: User,
    request: pytest.FixtureRequest,
    who: str,
    status: int,
    method: str,
):
    api(ada).put(path(org), {"prices": PRICES})
    client = api(request.getfixturevalue(who))
    answer = getattr(client, method)(path(org), {"prices": PRICES[:1]})
    assert answer.status_code == status
    assert Price.objects.count() == 2
    assert client.get(path(org)).status_code == (200 if status == 403 else 404)


@pytest.mark.parametrize(("scope", "status"), [("read", 403), ("submit", 403), ("manage", 200)])
def test_a_key_needs_the_scope_manage(
    anyone: JsonClient, org: Organization, ada: User, scope: str, status: int
):
    token = create_key(ada, "nightly", KeyScope(scope)).token
    anyone.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    assert anyone.put(path(org), {"prices": PRICES}).status_code == status
    assert anyone.get(path(org)).status_code == 200
