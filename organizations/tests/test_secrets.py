"""GET /api/orgs/{id}/secrets; GET, PUT, DELETE …/secrets/{name}; GET …/secrets/{name}/uses"""

import json
import logging
from uuid import uuid4

import pytest
from django.urls import reverse

from accounts.models import User
from mlops_platform import sealing
from mlops_platform.tests.equipment.row_locks import all_locked
from organizations import hooks
from organizations.models import Role, Secret, SecretUse
from organizations.secrets import owners, uses
from organizations.secrets.queries import SecretKey, opened
from organizations.secrets.services import put_secret
from organizations.services import create_organization
from organizations.tests.people import PASSWORD, all_at_once, client_for, make_member, make_user

VALUE = "hunter2-quite-unlikely\nsecond line "


def path(org, name=None, end=""):
    return f"/api/orgs/{org.pk}/secrets" + (f"/{name}{end}" if name else "")


def value_of(org, name):
    key = SecretKey(owners.organization(org.pk), name)
    secret = opened([key])[key]
    return secret and secret.value


def everything():
    return list(Secret.objects.order_by("pk").values()), list(SecretUse.objects.values())


@pytest.fixture
def kept(ada, org):
    secret, _ = put_secret(ada, owners.organization(org.pk), "hf", VALUE)
    return secret


@pytest.mark.parametrize("slash", ["", "/"])
def test_an_admin_writes_a_secret_whose_value_no_answer_shows(api, ada, dev, org, slash):
    answer = api(ada).put(path(org, "hf") + slash, {"value": VALUE})
    assert answer.status_code == 201
    shown = answer.json()
    assert set(shown) == {
        *("name", "version", "created_at", "updated_at", "updated_by", "last_used_at")
    }
    assert (shown["name"], shown["version"], shown["updated_by"]) == ("hf", 1, "ada")
    assert shown["last_used_at"] is None
    for user in (ada, dev):
        assert api(user).get(path(org)).json() == [shown]
        assert api(user).get(path(org, "hf")).json() == shown
    assert value_of(org, "hf") == VALUE


def test_another_value_is_the_next_version_and_the_former_is_gone(api, ada, org, kept):
    eve = make_member(org, "eve", Role.ADMIN)
    answer = api(eve).put(path(org, "hf"), {"value": "another"})
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["version"], shown["updated_by"]) == (2, "eve")
    assert shown["updated_at"] > shown["created_at"]
    assert value_of(org, "hf") == "another"
    assert VALUE not in str(everything())


def test_a_row_keeps_the_value_sealed(ada, org, kept):
    (row,) = Secret.objects.values()
    assert "hunter2" not in str(row)
    assert sealing.unseal(row["sealed"]) == {"value": VALUE}


def test_the_names_of_one_organization_are_no_others(api, ada, sam, org, sams_org, kept):
    assert api(sam).put(path(sams_org, "hf"), {"value": "sam's"}).status_code == 201
    assert value_of(org, "hf") == VALUE
    assert api(sam).delete(path(sams_org, "hf")).status_code == 204
    assert value_of(org, "hf") == VALUE


@pytest.mark.parametrize(
    ("person", "reads", "writes"), [("dev", 200, 403), ("vera", 403, 403), ("sam", 404, 404)]
)
def test_who_is_no_admin_writes_none_and_a_viewer_sees_none(
    request, api, org, kept, person, reads, writes
):
    before, client = everything(), api(request.getfixturevalue(person))
    for read in (path(org), path(org, "hf"), path(org, "hf", "/uses")):
        assert client.get(read).status_code == reads
    for name in ("hf", "new"):
        answer = client.put(path(org, name), {"value": "stolen"})
        assert answer.status_code == writes
        assert client.delete(path(org, name) + "?force=true").status_code == writes
    assert everything() == before


@pytest.mark.parametrize("name", ["-x", ".", "a b", "ä", "x" * 64, "a%00b", "_x", "a:b"])
def test_a_bad_name_is_refused_and_is_the_name_of_none(api, ada, org, name):
    client = api(ada)
    answer = client.put(path(org, name), {"value": VALUE})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["name"])
    assert client.get(path(org, name)).status_code == 404
    assert client.delete(path(org, name)).status_code == 404
    assert not Secret.objects.exists()


@pytest.mark.parametrize("name", ["x", "HF_TOKEN", "a.b-c_D9", "0", "x" * 63])
def test_a_good_name_is_taken_as_it_is(api, ada, org, name):
    assert api(ada).put(path(org, name), {"value": VALUE}).json()["name"] == name
    assert api(ada).get(path(org, name)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": ""},
        {"value": None},
        {"value": 12},
        {"value": ["hunter2"]},
        {"value": "hunter2\x00"},
        {"value": "hunter2" * 10_000},
        {"value": "ö" * 32 * 1024 + "x"},
        {"value": "hunter2", "valeu": "hunter2"},
    ],
)
def test_a_bad_value_is_refused_without_a_word_of_it(api, ada, org, kept, body):
    before = everything()
    answer = api(ada).put(path(org, "hf"), body)
    assert answer.status_code == 400
    assert answer.json().get("fields", {}).keys() <= {"value", "valeu"}
    assert "hunter2" not in answer.content.decode()
    assert everything() == before


def test_a_value_is_kept_to_the_last_byte(api, ada, org):
    value = "ö" * 32 * 1024
    assert api(ada).put(path(org, "large"), {"value": value}).status_code == 201
    assert value_of(org, "large") == value


def test_operators_limit_the_size_and_the_number(api, ada, org, settings, kept):
    settings.MAX_SECRET_KIB, settings.MAX_SECRETS = 1, 2
    client = api(ada)
    assert client.put(path(org, "b"), {"value": "x" * 1025}).status_code == 400
    assert client.put(path(org, "b"), {"value": "x" * 1024}).status_code == 201
    refused = client.put(path(org, "c"), {"value": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_secrets")
    assert client.put(path(org, "hf"), {"value": "x"}).status_code == 200
    assert Secret.objects.count() == 2
    assert client.delete(path(org, "b")).status_code == 204
    assert client.put(path(org, "c"), {"value": "x"}).status_code == 201


def test_a_secret_that_is_in_use_is_deleted_only_by_force(api, ada, org, kept, monkeypatch):
    first = ["eval-7 of ada", "eval-8 of dev"]
    asked = []

    def users_of(secret, most):
        asked.append(secret.pk)
        return hooks.Users(12, first)

    monkeypatch.setattr(hooks, "users_of", users_of)
    before = everything()
    answer = api(ada).delete(path(org, "hf"))
    assert (answer.status_code, answer.json()["code"]) == (409, "secret_in_use")
    assert all(each in answer.json()["detail"] for each in first)
    assert "and 10 more" in answer.json()["detail"]
    assert (asked, everything()) == ([kept.pk], before)
    assert api(ada).delete(path(org, "hf") + "?force=maybe").status_code == 400
    assert api(ada).delete(path(org, "hf") + "?force=true").status_code == 204
    assert not Secret.objects.exists()
    assert api(ada).delete(path(org, "hf")).status_code == 404


def use_of(secret, attempt=1, deployment_id=None, user_id=None):
    deployment_id, user_id = deployment_id or uuid4(), user_id or uuid4()
    return uses.Use(secret.pk, secret.version, deployment_id, attempt, user_id)


def test_uses_are_shown_newest_first_and_with_the_latest_time(api, dev, org, kept):
    first, second = use_of(kept), use_of(kept, 2, user_id=dev.pk)
    uses.record_uses([first])
    uses.record_uses([second, first])  # the latter is known already
    shown = api(dev).get(path(org, "hf", "/uses")).json()
    assert [each["deployment_id"] for each in shown] == [
        str(second.deployment_id),
        str(first.deployment_id),
    ]
    assert [(each["attempt"], each["version"]) for each in shown] == [(2, 1), (1, 1)]
    assert [each["user_id"] for each in shown] == [str(dev.pk), str(first.user_id)]
    assert [each["username"] for each in shown] == ["dev", None]  # the latter is no user any more
    assert api(dev).get(path(org, "hf")).json()["last_used_at"] == shown[0]["at"]


def test_so_many_uses_are_kept_and_no_more(api, dev, org, kept, monkeypatch):
    monkeypatch.setattr(uses, "MOST_KEPT", 3)
    made = [use_of(kept) for _ in range(5)]
    for each in made:
        uses.record_uses([each])
    kept_ids = SecretUse.objects.order_by("pk").values_list("deployment_id", flat=True)
    assert list(kept_ids) == [each.deployment_id for each in made[2:]]


def test_a_use_of_a_secret_that_has_been_deleted_is_none(kept):
    use = use_of(kept)
    kept.delete()
    uses.record_uses([use])
    assert not SecretUse.objects.exists()


def test_the_list_costs_the_same_for_few_and_many(api, ada, org, django_assert_num_queries):
    client = api(ada)
    for size in (1, 10):
        for number in range(size):
            put_secret(ada, owners.organization(org.pk), f"s-{size}-{number}", "x")
        with django_assert_num_queries(3):  # the user, the role, the page
            assert client.get(path(org)).status_code == 200


def test_who_did_what_is_logged_without_the_value(api, ada, org, caplog):
    with caplog.at_level(logging.DEBUG):
        api(ada).put(path(org, "hf"), {"value": VALUE})
        api(ada).put(path(org, "hf"), {"value": VALUE})
        api(ada).delete(path(org, "hf"))
    lines = [line for line in caplog.records if line.name == "organizations.secrets.services"]
    assert [(line.message, line.version) for line in lines] == [
        ("secret written", 1),
        ("secret written", 2),
        ("secret deleted", 2),
    ]
    assert {line.actor_id for line in lines} == {str(ada.pk)}
    written = " ".join(json.dumps(vars(line), default=str) for line in caplog.records)
    assert "hunter2" not in written


def test_an_operator_sees_all_but_the_value_and_may_delete_one(client, ada, org, kept):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    pages = [
        reverse("admin:organizations_secret_changelist"),
        reverse("admin:organizations_secret_change", args=[kept.pk]),
    ]
    for page in pages:
        shown = client.get(page).content.decode()
        assert "hf" in shown
        assert kept.sealed not in shown
        assert "hunter2" not in shown
        assert "Save" not in shown
    assert client.get(reverse("admin:organizations_secret_add")).status_code == 403
    client.post(reverse("admin:organizations_secret_delete", args=[kept.pk]), {"post": "yes"})
    assert not Secret.objects.exists()


def test_an_operator_deletes_no_secret_that_is_in_use(client, kept, monkeypatch):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    monkeypatch.setattr(hooks, "users_of", lambda secret, most: hooks.Users(1, ["eval-7 of ada"]))
    before = everything()
    page = reverse("admin:organizations_secret_delete", args=[kept.pk])
    answer = client.post(page, {"post": "yes"}, follow=True)
    assert "Deployments use it: stop them first." in answer.content.decode()
    selected = {"action": "delete_selected", "_selected_action": [str(kept.pk)], "post": "yes"}
    client.post(reverse("admin:organizations_secret_changelist"), selected)
    assert everything() == before


def test_of_many_writes_at_once_each_makes_a_version(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    write = lambda: client_for(ada).put(path(org, "hf"), {"value": "x"}).status_code  # noqa: E731
    assert sorted(all_at_once(*[write] * 4)) == [200, 200, 200, 201]
    assert Secret.objects.get().version == 4


def test_of_many_new_ones_at_once_no_more_are_made_than_allowed(transactional_db, settings):
    settings.MAX_SECRETS = 2
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    answers = all_at_once(
        *[
            lambda name=name: client_for(ada).put(path(org, name), {"value": "x"}).status_code
            for name in "abcd"
        ]
    )
    assert sorted(answers) == [201, 201, 409, 409]


def test_a_use_waits_for_no_writer(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    secret, _ = put_secret(ada, owners.organization(org.pk), "hf", "x")
    written = f"SELECT 1 FROM organizations_secret WHERE id = '{secret.pk}' FOR NO KEY UPDATE"
    with all_locked([written]):
        uses.record_uses([use_of(secret)])
    assert SecretUse.objects.count() == 1
    assert Secret.objects.get().last_used_at is None


def test_a_use_waits_for_no_deletion_and_another_secret_has_its_own(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    going, staying = (
        put_secret(ada, owners.organization(org.pk), name, "x")[0] for name in ("going", "staying")
    )
    deleted = f"SELECT 1 FROM organizations_secret WHERE id = '{going.pk}' FOR UPDATE"
    with all_locked([deleted]):
        uses.record_uses([use_of(going), use_of(staying)])
    assert [each.secret_id for each in SecretUse.objects.all()] == [staying.pk]
