"""GET, POST /api/orgs/{id}/keys; GET, DELETE /api/orgs/{id}/keys/{name}"""

import pytest
from django.utils import timezone

from accounts.keys import tokens
from accounts.models import ApiKey, User
from clusters.tests.allocation import make_cluster
from deployments.tests.workloads import body
from organizations.deletion import delete_organization
from organizations.models import Membership, Role
from organizations.services import remove_member
from organizations.tests.people import JsonClient, client_for, make_member

NEW = {"name": "ci", "role": "DEVELOPER", "expires_in_s": 3600}


@pytest.fixture
def path(org):
    return f"/api/orgs/{org.pk}/keys"


def keyed(token):
    client = JsonClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.fixture
def made(ada, path):
    answer = client_for(ada).post(path, NEW)
    assert answer.status_code == 201
    return answer.json()


@pytest.fixture
def program(made):
    return keyed(made["key"])


def state():
    return (
        list(ApiKey.objects.order_by("pk").values()),
        list(Membership.objects.order_by("pk").values()),
        list(User.objects.order_by("pk").values_list("pk", "is_active")),
    )


def refusal(client):
    answer = client.get("/api/users/me")
    assert answer.status_code == 401
    return answer.json()["code"]


def test_an_admin_makes_sees_and_revokes_one_and_its_secret_is_shown_once(api, ada, path, made):
    shown = dict(made)
    assert tokens.is_whole(shown.pop("key"))
    assert (shown["name"], shown["role"], shown["created_by"]) == ("ci", "DEVELOPER", "ada")
    assert shown["username"].startswith("ci@")
    assert api(ada).get(path).json() == [shown]
    assert api(ada).get(f"{path}/ci").json() == shown
    assert api(ada).delete(f"{path}/ci").status_code == 204
    assert api(ada).get(path).json() == []
    assert refusal(keyed(made["key"])) == "api_key_revoked"
    assert not Membership.objects.filter(user=shown["user_id"]).exists()


@pytest.mark.parametrize(
    ("person", "status"), [("vera", 403), ("dev", 403), ("sam", 404), (None, 401)]
)
def test_nobody_below_an_admin_sees_or_changes_them(request, path, made, person, status):
    client = client_for(request.getfixturevalue(person) if person else None)
    before = state()
    answers = [
        client.get(path),
        client.get(f"{path}/ci"),
        client.post(path, {**NEW, "name": "mine"}),
        client.delete(f"{path}/ci"),
    ]
    assert {each.status_code for each in answers} == {status}
    assert state() == before


def test_another_admin_revokes_it_and_it_outlives_the_one_who_made_it(org, ada, path, program):
    grace = make_member(org, "grace", Role.ADMIN)
    remove_member(grace, org.pk, ada.pk)
    ada.delete()
    assert program.get(f"/api/orgs/{org.pk}/members").status_code == 200
    [shown] = client_for(grace).get(path).json()
    assert shown["created_by"] is None
    assert client_for(grace).delete(f"{path}/ci").status_code == 204
    assert refusal(program) == "api_key_revoked"


def test_it_submits_as_itself_within_its_role_alone(org, sams_org, program, made):
    cluster, sams = make_cluster(org, total_gpu=1), make_cluster(sams_org, total_gpu=1)
    submitted = program.post("/api/deployments", body(cluster, name="train"))
    assert submitted.status_code == 201
    [event] = program.get(f"/api/deployments/{submitted.json()['id']}/events").json()
    assert event["actor"] == made["username"]
    assert event["details"]["api_key"] == "ci"
    assert program.post("/api/deployments", body(sams, name="train")).status_code == 404
    assert program.delete(f"/api/clusters/{cluster.pk}").status_code == 403


def test_what_no_key_may_an_admins_key_may_not_either(ada, org, path):
    key = client_for(ada).post(path, {**NEW, "role": "ADMIN"}).json()["key"]
    before = state()
    refused = [
        keyed(key).get(path),
        keyed(key).post(path, {**NEW, "name": "another"}),
        keyed(key).delete(f"{path}/ci"),
        keyed(key).post(f"/api/orgs/{org.pk}/invite-codes", {"role": "ADMIN"}),
        keyed(key).delete(f"/api/orgs/{org.pk}/members/{ada.pk}"),
    ]
    answers = {(each.status_code, each.json()["code"]) for each in refused}
    assert answers == {(403, "not_with_a_key")}
    ApiKey.objects.update(last_used_at=None)
    assert state() == before


def test_a_program_is_no_admin_on_whom_an_organization_could_rest(ada, org, path):
    client_for(ada).post(path, {**NEW, "role": "ADMIN"})
    left = client_for(ada).delete(f"/api/orgs/{org.pk}/members/{ada.pk}")
    assert (left.status_code, left.json()["code"]) == (409, "last_admin")


def test_it_ends_when_its_account_is_removed_from_the_members(ada, org, path, program, made):
    removed = client_for(ada).delete(f"/api/orgs/{org.pk}/members/{made['user_id']}")
    assert removed.status_code == 204
    assert refusal(program) == "api_key_revoked"
    assert client_for(ada).get(path).json() == []


def test_it_ends_with_its_organization(org, program):
    delete_organization(org.pk)
    assert refusal(program) == "api_key_revoked"


def test_names_and_numbers_are_the_organizations_own(ada, sam, sams_org, path, made, settings):
    taken = client_for(ada).post(path, NEW)
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert client_for(sam).post(f"/api/orgs/{sams_org.pk}/keys", NEW).status_code == 201
    settings.MAX_API_KEYS = 1
    full = client_for(ada).post(path, {**NEW, "name": "another"})
    assert (full.status_code, full.json()["code"]) == (409, "too_many_keys")
    ApiKey.objects.filter(pk=made["id"]).update(expires_at=timezone.now())
    assert client_for(ada).post(path, NEW).status_code == 201
    assert [each["name"] for each in client_for(ada).get(path).json()] == ["ci"]


@pytest.mark.parametrize(
    ("field", "value"), [("name", "a b"), ("role", "OWNER"), ("scope", "read")]
)
def test_a_faulty_key_is_refused_with_its_field(ada, path, field, value):
    before = state()
    answer = client_for(ada).post(path, {**NEW, field: value})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert state() == before


def test_a_service_account_has_no_password(anyone, made):
    for password in ("", "!", "correct-horse-battery"):
        who = {"username": made["username"], "password": password}
        assert anyone.post("/api/users/login", who).status_code in (400, 401)
