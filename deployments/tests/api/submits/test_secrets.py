"""What a submit says of secrets, what answers show of it, and what uses a secret."""

from copy import copy
from typing import Any

import pytest
from django.db import connection
from uuid_utils.compat import uuid7

from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.queries.secrets import users_of
from deployments.services import bulk
from deployments.services import submit as submit_service
from deployments.tests.workloads import body, make
from mlops_platform.api import ids
from organizations.models import Secret
from organizations.secrets import owners
from organizations.secrets.services import put_secret
from organizations.services import create_organization
from organizations.tests.people import all_at_once, client_for, make_user

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
VALUE = "hunter2-quite-unlikely"
ENV = {"name": "hf", "env": "HF_TOKEN"}
FILE = {"name": "hf", "file": "hf/token"}


@pytest.fixture
def shared(ada, org):
    """A secret of the organization."""
    return put_secret(ada, owners.organization(org.pk), "hf", VALUE)[0]


@pytest.fixture
def own(dev):
    """dev's own secret of the same name."""
    return put_secret(dev, owners.person(dev.pk), "hf", VALUE)[0]


def submit(api, user, cluster, *secrets, **fields):
    return api(user).post(PATH, body(cluster, secrets=list(secrets), **fields))


def test_a_developer_uses_a_secret_of_the_organization(api, dev, cluster, shared):
    answer = submit(api, dev, cluster, ENV, FILE)
    assert answer.status_code == 201, answer.json()
    expected = [{**each, "scope": "organization"} for each in (ENV, FILE)]
    assert answer.json()["secrets"] == expected
    row = Deployment.objects.get()
    assert row.secrets == expected
    assert api(dev).get(f"{PATH}/{row.pk}").json()["secrets"] == expected
    assert VALUE not in answer.content.decode()


def test_ones_own_goes_before_that_of_the_organization_unless_the_scope_says_so(
    api, dev, cluster, shared, own
):
    references = [ENV, {**FILE, "scope": "organization"}]
    shown = submit(api, dev, cluster, *references).json()["secrets"]
    assert [each["scope"] for each in shown] == ["person", "organization"]


def test_the_name_of_a_persons_secret_is_shown_to_that_person_alone(
    api, ada, dev, vera, cluster, own
):
    deployment = submit(api, dev, cluster, ENV).json()["id"]
    for user, name in ((dev, "hf"), (ada, None), (vera, None)):
        (shown,) = api(user).get(f"{PATH}/{deployment}").json()["secrets"]
        assert shown == {"scope": "person", "name": name, "env": "HF_TOKEN"}
        assert "secrets" not in api(user).get(PATH).json()[0]
    stopped = api(ada).post(f"{PATH}/{deployment}/stop").json()
    assert stopped["secrets"][0]["name"] is None


def test_a_secret_of_another_person_is_not_there(api, ada, vera, cluster, dev, own):
    answer = submit(api, ada, cluster, ENV)
    assert answer.status_code == 400
    assert answer.json()["fields"] == {
        "secrets": {"0": {"name": ["There is no such secret of yours, nor of the organization."]}}
    }
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("scope", ["organization", "person"])
def test_a_missing_secret_is_refused_naming_it(api, dev, cluster, shared, own, scope):
    missing = {"name": "other", "env": "X", "scope": scope}
    answer = submit(api, dev, cluster, ENV, missing)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]["secrets"]) == ["1"]
    assert not Deployment.objects.exists()


def test_a_secret_of_another_organization_is_not_there(api, dev, sam, sams_org, cluster):
    put_secret(sam, owners.organization(sams_org.pk), "hf", VALUE)
    assert submit(api, dev, cluster, ENV).status_code == 400


@pytest.mark.parametrize(("person", "status"), [("vera", 403), ("sam", 404)])
def test_who_may_not_submit_learns_nothing_of_secrets(
    request, api, cluster, shared, person, status
):
    user = request.getfixturevalue(person)
    there, missing = (
        submit(api, user, cluster, {"name": name, "env": "X"}) for name in ("hf", "other")
    )
    assert there.status_code == missing.status_code == status
    assert there.json() == missing.json()


BAD: list[Any] = [
    {"name": "hf"},
    {**ENV, "file": "x"},
    {"env": "X"},
    {**ENV, "value": VALUE},
    {"name": "hf", "env": "9X"},
    {"name": "hf", "env": "A=B"},
    {"name": "hf", "env": ""},
    {"name": "hf", "env": "MLOPS_REPLICA"},
    {"name": "hf", "env": "NVIDIA_VISIBLE_DEVICES"},
    {"name": "h f", "env": "X"},
    {"name": 7, "env": "X"},
    {**ENV, "scope": "cluster"},
    {"name": "hf", "file": "/etc/passwd"},
    {"name": "hf", "file": "../x"},
    {"name": "hf", "file": "a/../x"},
    {"name": "hf", "file": "..data"},
    {"name": "hf", "file": "a//b"},
    {"name": "hf", "file": "a/"},
    {"name": "hf", "file": "."},
    {"name": "hf", "file": ""},
    {"name": "hf", "file": "a b"},
    {"name": "hf", "file": "/".join("abcdefghi")},
    {"name": "hf", "file": "x" * 256},
    "hf",
    None,
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_reference_is_refused(api, dev, cluster, shared, bad):
    answer = submit(api, dev, cluster, bad)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["secrets"]
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(
    "references",
    [
        [ENV, ENV],
        [FILE, FILE],
        [FILE, {"name": "hf", "file": "hf"}],
        [{"name": "hf", "file": "a/b"}, {"name": "hf", "file": "a/b/c"}],
        [{"name": "hf", "env": f"X{number}"} for number in range(17)],
    ],
)
def test_references_that_contradict_each_other_are_refused(api, dev, cluster, shared, references):
    answer = submit(api, dev, cluster, *references)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["secrets"])


def test_a_variable_of_env_is_set_by_no_secret_too(api, dev, cluster, shared):
    answer = submit(api, dev, cluster, ENV, env={"HF_TOKEN": "x"})
    assert answer.status_code == 400
    assert answer.json()["fields"]["secrets"]["0"] == {"env": ["env sets this variable too."]}


def test_a_rank_of_a_gang_is_no_secret(api, dev, cluster, shared):
    rank = {"name": "hf", "env": "RANK"}
    answer = submit(api, dev, cluster, ENV, rank, replicas=2)
    assert (answer.status_code, list(answer.json()["fields"]["secrets"])) == (400, ["1"])
    alone = submit(api, dev, cluster, rank)
    assert alone.status_code == 201
    grown = api(dev).patch(f"{PATH}/{alone.json()['id']}", {"replicas": 2})
    assert (grown.status_code, list(grown.json()["fields"])) == (400, ["replicas"])


def test_files_may_lie_side_by_side(api, dev, cluster, shared):
    files = [{"name": "hf", "file": path} for path in ("a/b", "a/c", "a.b", ".netrc", "ab")]
    assert submit(api, dev, cluster, *files).status_code == 201


def test_without_secrets_it_is_the_same_submit_as_ever(api, dev, cluster, shared):
    first = api(dev).post(PATH, body(cluster), HTTP_IDEMPOTENCY_KEY="k").json()
    again = api(dev).post(PATH, body(cluster, secrets=[]), HTTP_IDEMPOTENCY_KEY="k")
    assert (again.json()["id"], first["secrets"]) == (first["id"], [])
    other = api(dev).post(PATH, body(cluster, secrets=[ENV]), HTTP_IDEMPOTENCY_KEY="k")
    assert other.status_code == 409


def test_a_bulk_reads_all_of_its_secrets_at_once_and_names_the_items_at_fault(
    api, dev, cluster, shared, django_assert_num_queries
):
    client = api(dev)

    def send(*secrets):
        items = [body(cluster, secrets=[each] if each else []) for each in secrets]
        return client.post(f"{PATH}/bulk", {"deployments": items})

    assert send(None).status_code == 201  # counts the queue, which the next ones do not
    with connection.execute_wrapper(counted := Counted()):
        assert send(None, None).status_code == 201
    without = counted.queries
    with connection.execute_wrapper(counted):
        assert send(ENV, FILE, ENV).status_code == 201
    assert counted.queries - without == without + 2  # to find them, and to keep them
    refused = send(ENV, {"name": "other", "env": "X"}, None)
    assert refused.status_code == 400
    assert list(refused.json()["fields"]["deployments"]) == ["1"]


class Counted:
    def __init__(self) -> None:
        self.queries = 0

    def __call__(self, execute: Any, *given: Any) -> Any:
        self.queries += 1
        return execute(*given)


def test_a_quote_takes_them_too(api, dev, cluster, shared):
    quote = api(dev).post(f"{PATH}/quote", body(cluster, secrets=[ENV]))
    assert quote.status_code == 200, quote.json()
    assert VALUE not in quote.content.decode()
    refused = api(dev).post(f"{PATH}/quote", body(cluster, secrets=[{"name": "x", "env": "X"}]))
    assert refused.status_code == 400


# --- What uses a secret --------------------------------------------------------------------------


def reference(scope="organization", name="hf"):
    return [{"scope": scope, "name": name, "env": "X"}]


def test_a_secret_is_not_deleted_while_deployments_use_it_that_have_not_ended(
    api, ada, dev, cluster, shared, own
):
    row = make(cluster, dev, name="eval-7", secrets=reference())
    make(cluster, dev, Status.COMPLETED, secrets=reference())
    make(cluster, dev, secrets=reference(name="another"))
    path = f"/api/orgs/{cluster.organization_id}/secrets/hf"
    refused = api(ada).delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "secret_in_use")
    assert "eval-7 of dev" in refused.json()["detail"]
    assert api(dev).delete("/api/users/me/secrets/hf").status_code == 204  # no one uses that
    assert api(dev).post(f"{PATH}/{row.pk}/stop").status_code == 200
    assert api(ada).delete(path).status_code == 204


def test_a_persons_secret_is_used_by_that_persons_deployments(api, ada, dev, cluster, own):
    make(cluster, dev, Status.RUNNING, name="mine", secrets=reference("person"))
    make(cluster, ada, secrets=reference("person"))
    assert users_of(own, 10) == (1, ["mine of dev"])
    refused = api(dev).delete("/api/users/me/secrets/hf")
    assert (refused.status_code, refused.json()["code"]) == (409, "secret_in_use")
    assert api(dev).delete("/api/users/me/secrets/hf?force=true").status_code == 204
    assert not Secret.objects.exists()


def test_of_many_users_the_oldest_are_named(cluster, dev, shared):
    for number in range(5):
        make(cluster, dev, name=f"n{number}", secrets=reference())
    assert users_of(shared, 2) == (5, ["n0 of dev", "n1 of dev"])


def test_what_uses_a_secret_is_found_by_an_index(cluster, dev, shared):
    row = make(cluster, dev)
    others = []
    for _ in range(2000):
        row.pk = uuid7()
        others.append(copy(row))
    Deployment.objects.bulk_create(others)
    make(cluster, dev, secrets=reference())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE deployments_deployment")
    with connection.execute_wrapper(explained := Explained()):
        assert users_of(shared, 2).number == 1
    assert "deployment_with_secrets" in explained.plan


class Explained:
    plan = ""

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("SELECT"):
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                self.plan += str(cursor.fetchall())
        return execute(sql, params, many, context)


@pytest.mark.parametrize("many", [False, True])
def test_a_secret_that_is_deleted_during_a_submit_is_missed_and_nothing_is_queued(
    api, dev, cluster, shared, monkeypatch, many
):
    given = body(cluster, secrets=[ENV])

    def draw(*args: Any) -> Any:
        Secret.objects.all().delete()
        return ids.draw_ids(*args)

    monkeypatch.setattr(bulk if many else submit_service, "draw_ids", draw)
    path, sent = (f"{PATH}/bulk", {"deployments": [given]}) if many else (PATH, given)
    answer = api(dev).post(path, sent)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["secrets"])
    assert not Deployment.objects.exists()


def test_of_submits_and_a_deletion_at_once_none_is_left_without_its_secret(transactional_db):
    ada = make_user("ada")
    org = create_organization(ada, "Analytical Engines")
    put_secret(ada, owners.organization(org.pk), "hf", VALUE)
    given = body(make_cluster(org), secrets=[ENV])
    path = f"/api/orgs/{org.pk}/secrets/hf"
    answers = all_at_once(
        *[lambda: client_for(ada).post(PATH, given).status_code] * 3,
        lambda: client_for(ada).delete(path).status_code,
        *[lambda: client_for(ada).post(PATH, given).status_code] * 3,
    )
    assert set(answers) <= {201, 204, 400, 409, 503}
    if not Secret.objects.exists():
        assert not Deployment.objects.exists()
