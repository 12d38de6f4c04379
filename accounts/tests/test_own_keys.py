"""GET, POST /api/users/me/keys; GET, DELETE /api/users/me/keys/{name}; and requests with a key"""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.keys import tokens
from accounts.keys.services import create_key
from accounts.models import ApiKey
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, DeploymentEvent
from deployments.tests.workloads import body
from mlops_platform.api.scopes import KeyScope
from organizations.models import Membership, Role
from organizations.services import remove_member
from organizations.tests.people import JsonClient, all_at_once

LIST = "/api/users/me/keys"
ME = "/api/users/me"
NEW = {"name": "nightly", "scope": "submit", "expires_in_s": 3600}
READ, SUBMIT, MANAGE = KeyScope


def keyed(token, scheme="Bearer"):
    client = JsonClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {token}")
    return client


@pytest.fixture
def key_of():
    """A client with a new key of the user."""

    def make(user, scope=MANAGE, name="robot", **given):
        return keyed(create_key(user, name, scope, **given).token)

    return make


def rows():
    return list(ApiKey.objects.order_by("pk").values())


# --- Making, seeing, revoking -------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_key_is_shown_once_and_then_without_its_secret(api, vera, slash):
    made = api(vera).post(LIST + slash, NEW)
    assert made.status_code == 201
    shown = made.json()
    token = shown.pop("key")
    assert tokens.is_whole(token)
    assert token.startswith("mlops_")
    assert (shown["name"], shown["scope"], shown["last_used_at"]) == ("nightly", "submit", None)
    assert shown["start"] == token[:12]
    assert api(vera).get(LIST + slash).json() == [shown]
    assert api(vera).get(f"{LIST}/nightly{slash}").json() == shown
    assert token[12:] not in str(rows())
    assert keyed(token).get(ME).json()["username"] == "vera"
    assert api(vera).delete(f"{LIST}/nightly{slash}").status_code == 204
    assert api(vera).get(LIST).json() == []
    assert api(vera).delete(f"{LIST}/nightly").status_code == 404


def test_without_a_wish_a_key_expires_after_90_days(api, vera):
    shown = api(vera).post(LIST, {"name": "nightly", "scope": "read"}).json()
    key = ApiKey.objects.get(pk=shown["id"])
    assert key.expires_at - key.created_at == timedelta(days=90)


@pytest.mark.parametrize("person", ["ada", "dev", "sam"])
def test_no_other_user_sees_or_revokes_it_not_even_an_admin(request, api, org, vera, person):
    other = request.getfixturevalue(person)
    create_key(vera, "robot", READ)
    before = rows()
    assert api(other).get(LIST).json() == []
    assert api(other).get(f"{LIST}/robot").status_code == 404
    assert api(other).delete(f"{LIST}/robot").status_code == 404
    assert rows() == before


def test_without_a_token_there_are_none(anyone, vera):
    create_key(vera, "robot", READ)
    before = rows()
    assert anyone.get(LIST).status_code == anyone.post(LIST, NEW).status_code == 401
    assert anyone.delete(f"{LIST}/robot").status_code == 401
    assert rows() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "with space"),
        ("name", ".dot"),
        ("name", "x" * 64),
        ("name", "\u202eabc"),
        ("scope", "all"),
        ("scope", None),
        ("expires_in_s", 59),
        ("expires_in_s", 367 * 24 * 3600),
        ("expires_in_s", None),
        ("key", "mlops_of_my_own"),
    ],
)
def test_a_faulty_key_is_refused_with_its_field(api, vera, field, value):
    answer = api(vera).post(LIST, {**NEW, field: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert rows() == []


def test_a_name_is_free_again_once_its_key_is_revoked_or_expired(api, vera, dev):
    first = create_key(vera, "nightly", READ).key
    create_key(dev, "nightly", READ)  # another user's names are their own
    taken = api(vera).post(LIST, NEW)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    ApiKey.objects.filter(pk=first.pk).update(expires_at=timezone.now())
    assert api(vera).post(LIST, NEW).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_a_user_has_as_many_as_allowed_also_when_all_are_made_at_once(api, vera, settings):
    settings.MAX_API_KEYS = 2
    create_key(vera, "expired", READ)
    ApiKey.objects.update(expires_at=timezone.now())
    makings = [lambda n=n: create_key(vera, f"key-{n}", READ) for n in range(5)]
    all_at_once(*makings)
    assert vera.api_keys.filter(expires_at__gt=timezone.now()).count() == 2
    refused = api(vera).post(LIST, NEW)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")


# --- Requests with a key ------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  ", "bearer\t"])
def test_a_key_is_read_in_any_letter_case_of_bearer(vera, scheme):
    token = create_key(vera, "robot", READ).token
    assert keyed(token, scheme).get(ME).json()["username"] == "vera"


def refusal(client):
    answer = client.get(ME)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    return answer.json()["code"]


def test_a_key_that_does_not_count_is_401_with_its_reason(vera, django_assert_num_queries):
    made = create_key(vera, "robot", READ)
    token = made.token
    other = "x" if token[20] != "x" else "y"
    for cut in (token[:-1], f"{token}x", token[:20] + other + token[21:], "mlops_", "mlops_a.b.c"):
        with django_assert_num_queries(0):
            assert refusal(keyed(cut)) == "api_key_unknown"
    assert refusal(keyed(tokens.new_token())) == "api_key_unknown"
    assert refusal(keyed(token, "Token")) == "not_authenticated"
    assert refusal(keyed(f"{token} {token}")) == "bad_authorization_header"
    bare = JsonClient()
    bare.credentials(HTTP_AUTHORIZATION=token)
    assert "Bearer" in bare.get(ME).json()["detail"]
    ApiKey.objects.update(expires_at=timezone.now())
    assert refusal(keyed(token)) == "api_key_expired"
    ApiKey.objects.update(revoked_at=timezone.now())
    assert refusal(keyed(token)) == "api_key_revoked"
    assert ApiKey.objects.get().last_used_at is None


def test_the_keys_of_a_user_who_is_deactivated_or_deleted_stop_at_once(vera, key_of):
    client = key_of(vera)
    vera.is_active = False
    vera.save()
    assert refusal(client) == "user_inactive"
    vera.delete()
    assert refusal(client) == "api_key_unknown"


def test_a_removed_member_reaches_nothing_of_the_organization(org, ada, dev, key_of):
    client = key_of(dev)
    assert client.get(f"/api/orgs/{org.pk}/members").status_code == 200
    remove_member(ada, org.pk, dev.pk)
    assert client.get(f"/api/orgs/{org.pk}/members").status_code == 404


def test_a_request_makes_as_many_queries_as_with_an_access_token_and_notes_its_use_by_one_more(
    api, vera, key_of
):
    client = key_of(vera)

    def queries(client):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(ME).status_code == 200
        return len(captured)

    with_token = queries(api(vera))
    assert queries(client) == with_token + 1
    noted = ApiKey.objects.get().last_used_at
    assert noted is not None
    assert queries(client) == with_token
    assert ApiKey.objects.get().last_used_at == noted
    ApiKey.objects.update(last_used_at=noted - timedelta(minutes=2))
    assert queries(client) == with_token + 1
    later = ApiKey.objects.get().last_used_at
    assert later is not None
    assert later >= noted


@pytest.mark.django_db(transaction=True)
def test_a_request_does_not_wait_for_a_key_that_is_locked(vera, key_of):
    client = key_of(vera)
    with transaction.atomic():
        ApiKey.objects.select_for_update().get()
        [answer] = all_at_once(lambda: client.get(ME))
    assert answer.status_code == 200
    assert ApiKey.objects.get().last_used_at is None


# --- Scopes -------------------------------------------------------------------------------------


def test_each_scope_lets_through_what_it_says(org, ada, api):
    cluster = make_cluster(org, total_gpu=1)
    by = {scope: keyed(create_key(ada, scope, scope).token) for scope in KeyScope}
    new_cluster = {
        "name": "east",
        "organization_id": str(org.pk),
        "total_cpu": 1,
        "total_ram": 1,
        "total_gpu": 0,
    }
    deployment = str(api(ada).post("/api/deployments", body(cluster, name="train")).json()["id"])
    for scope, submits, manages in ((READ, 403, 403), (SUBMIT, 201, 403), (MANAGE, 201, 201)):
        client = by[scope]
        assert client.get("/api/deployments").status_code == 200
        before = Deployment.objects.count()
        answer = client.post("/api/deployments", body(cluster, name="train"))
        assert answer.status_code == submits
        assert Deployment.objects.count() == before + (submits == 201)
        quoted = client.post("/api/deployments/quote", body(cluster, name="train"))
        assert quoted.status_code == 200
        assert client.post(f"/api/deployments/{deployment}/explain").status_code in (200, 405)
        assert client.post("/api/clusters", new_cluster).status_code == manages
    refused = by[READ].delete(f"/api/deployments/{deployment}")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_too_low")
    assert Deployment.objects.filter(pk=deployment, status="QUEUED").exists()


def test_a_scope_gives_no_right_that_the_role_does_not(org, vera, key_of):
    cluster = make_cluster(org, total_gpu=1)
    client = key_of(vera, MANAGE)
    assert client.post("/api/deployments", body(cluster, name="train")).status_code == 403
    assert not Deployment.objects.exists()


def test_no_key_makes_keys_or_changes_an_account_or_a_membership(org, ada, dev, vera, key_of):
    client = key_of(ada, MANAGE)
    people = f"/api/orgs/{org.pk}/members"
    before = (rows(), list(Membership.objects.order_by("pk").values()))
    refused = [
        client.get(LIST),
        client.post(LIST, NEW),
        client.get(f"{LIST}/robot"),
        client.delete(f"{LIST}/robot"),
        client.patch(ME, {"email": "thief@example.org"}),
        client.post("/api/orgs/create", {"name": "Thieves"}),
        client.post("/api/orgs/join", {"invite_code": "x"}),
        client.post(f"/api/orgs/{org.pk}/invite-codes", {"role": "ADMIN"}),
        client.patch(f"{people}/{vera.pk}", {"role": Role.ADMIN}),
        client.delete(f"{people}/{vera.pk}"),
        client.delete(f"/api/orgs/{org.pk}/bans/{uuid4()}"),
    ]
    answers = {(each.status_code, each.json()["code"]) for each in refused}
    assert answers == {(403, "not_with_a_key")}
    ApiKey.objects.update(last_used_at=None)
    assert (rows(), list(Membership.objects.order_by("pk").values())) == before


def test_invite_codes_which_let_others_in_are_not_shown_to_a_key(api, org, ada, key_of):
    [shown] = api(ada).get("/api/orgs/my").json()
    assert shown["admin_invite_code"]
    [hidden] = key_of(ada, MANAGE).get("/api/orgs/my").json()
    assert hidden["role"] == "ADMIN"
    assert not any("invite_code" in each for each in hidden)


def test_events_and_the_log_name_the_key(org, dev, key_of, caplog):
    cluster = make_cluster(org, total_gpu=1)
    client = key_of(dev, SUBMIT, "nightly")
    with caplog.at_level("INFO", logger="mlops_platform.requests"):
        made = client.post("/api/deployments", body(cluster, name="train")).json()
    assert client.post(f"/api/deployments/{made['id']}/stop").status_code == 200
    events = client.get(f"/api/deployments/{made['id']}/events").json()
    assert {each["type"]: each["details"].get("api_key") for each in events} == {
        "SUBMITTED": "nightly",
        "STOPPED": "nightly",
    }
    assert {each["actor"] for each in events} == {"dev"}
    assert caplog.records[-1].api_key == "nightly"
    assert DeploymentEvent.objects.filter(details__api_key="nightly").count() == 2
