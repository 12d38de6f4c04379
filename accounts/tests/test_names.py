"""Names of users: one folding for all that compares them, and none that looks like another."""

import sys
import unicodedata

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.urls import reverse
from rest_framework.serializers import ValidationError

from accounts.models import User
from deployments.tests.workloads import body
from mlops_platform.api.fields import Label
from mlops_platform.api.names import check_name, folded
from organizations.tests.people import PASSWORD, JsonClient, make_user

REGISTER, LOGIN = "/api/users/register", "/api/users/login"
SAME = [
    ("victim", "VICTIM"),
    ("victim", "\uff56ictim"),  # full-width
    ("weiss", "wei\u00df"),
    ("\u03bd\u03b9\u03ba\u03bf\u03c2", "\u039d\u0399\u039a\u039f\u03a3"),  # with a final sigma
    ("ss", "\u1e9e"),
    ("fine", "\ufb01ne"),
]
OTHERS = ["v\u0130ct\u0130m", "v\u0131ct\u0131m", "V\u0130CT\u0130M", "victim1"]


def register(name):
    return JsonClient().post(REGISTER, {"username": name, "password": PASSWORD})


def log_in(name, password=PASSWORD):
    return JsonClient().post(LOGIN, {"username": name, "password": password})


@pytest.mark.django_db
class TestOneFolding:
    @pytest.mark.parametrize(("name", "other"), SAME)
    def test_two_spellings_are_one_user(self, name, other):
        for first, second in ((name, other), (other, name)):
            User.objects.all().delete()
            assert register(first).status_code == 201
            assert register(second).status_code == 400
            assert log_in(second).status_code == 200
            assert User.objects.get_by_natural_key(second).username == User.objects.get().username

    @pytest.mark.parametrize("other", OTHERS)
    def test_a_name_with_another_i_is_another_user(self, other):
        """PostgreSQL's lower case and Python's differ here."""
        make_user("victim")
        assert log_in(other).status_code == 401
        assert register(other).status_code in {201, 400}
        assert log_in("victim").status_code == 200

    def test_no_spelling_gives_the_login_more_attempts(self, monkeypatch):
        """Each i that could be dotted would double the guesses."""
        make_user("victim")
        monkeypatch.setitem(JsonClient.rates(), "login", "3/min")
        for name in ("victim", "VICTIM", "Victim"):
            assert log_in(name, "wrong").status_code == 401
        assert {log_in(name).status_code for name in ("vIcTiM", "\uff56ictim")} == {429}
        assert {log_in(name, PASSWORD).status_code for name in OTHERS} == {401}

    def test_a_name_that_an_operator_changes_is_folded_anew(self, client):
        ada = make_user("ada")
        make_user("weiss")
        client.force_login(User.objects.create_superuser("root", password=PASSWORD))
        page = reverse("admin:accounts_user_change", args=[ada.pk])
        form = client.get(page).context["adminform"].form
        profile = {
            "profile-TOTAL_FORMS": 1,
            "profile-INITIAL_FORMS": 1,
            "profile-0-user": str(ada.pk),
            "profile-0-timezone": "UTC",
        }
        sent = {
            "is_active": "on",
            "date_joined_0": form.initial["date_joined"].date(),
            "date_joined_1": "10:00:00",
            **profile,
        }
        for taken in ("WEI\u00df", "p\u0430ypal"):
            answer = client.post(page, {**sent, "username": taken})
            assert "username" in answer.context["adminform"].form.errors
        assert client.post(page, {**sent, "username": "Grace"}).status_code == 302
        assert User.objects.get_by_natural_key("grace") == ada
        assert log_in("ada").status_code == 401

        add = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
        answer = client.post(reverse("admin:accounts_user_add"), {**add, "username": "wei\u00df"})
        assert answer.status_code == 200
        assert User.objects.filter(username="wei\u00df").count() == 0

    def test_a_user_of_before_the_column_logs_in_and_is_not_registered_twice(self):
        make_user("Ada")
        User.objects.update(folded=None)
        assert log_in("ADA").status_code == 200
        assert register("ada").status_code == 400
        User.objects.get().save(update_fields=["username"])
        assert User.objects.get().folded == "ada"

    def test_of_two_users_of_before_with_one_name_both_log_in(self):
        first, second = make_user("weiss"), make_user("else")
        User.objects.filter(pk=second.pk).update(username="wei\u00df", folded=None)
        assert User.objects.get_by_natural_key("weiss") == first
        assert User.objects.get_by_natural_key("wei\u00df") == second
        assert log_in("wei\u00df").status_code == log_in("weiss").status_code == 200
        assert register("Wei\u00df").status_code == 400

    def test_to_find_a_user_takes_indexes(self):
        make_user("ada")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = User.objects.named("ADA").explain()
        assert "Seq Scan" not in plan, plan


@pytest.mark.django_db(transaction=True)
def test_the_migration_folds_what_is_there_and_leaves_the_later_of_two() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("accounts", "0002_logins")])
    try:
        users = executor.loader.project_state([("accounts", "0002_logins")]).apps.get_model(
            "accounts", "User"
        )
        for name in ("Ada", "weiss", "wei\u00df"):
            users.objects.create(username=name)
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())
    found = dict(User.objects.values_list("username", "folded"))
    assert found == {"Ada": "ada", "weiss": "weiss", "wei\u00df": None}


GOOD = [
    "ada",
    "Ada Lovelace",
    "ada.lovelace+ml@example-1",
    "Zo\u00eb",
    "\u0416\u0430\u043d\u043d\u0430",
    "\u0391\u03b8\u03b7\u03bd\u03ac 7",
    "\u5c71\u7530\u3000\u592a\u90ce",
    "\u3072\u3089\u304c\u306a\u30ab\u30bf\u30ab\u30ca\u6f22\u5b57ML",
    "\u30e1\u30fc\u30eb",
    "\ud55c\uad6d\uc5b4\u6f22",
    "\u0936\u094d\u0930\u0940",
    "\u0645\u062d\u0645\u062f",
    "gpu-\u0437\u0430\u043b",
    "ML \u043b\u0430\u0431\u043e\u0440\u0430\u0442\u043e\u0440\u0438\u044f",
    "rockets \U0001f680",
    "O'Neill & Sons (Ltd.)",
    "\u00b5-lab",
    "100 %",
]
MIXED = [
    "p\u0430ypal",
    "\u0430da",
    "ad\u0430",
    "\u0410DMIN",
    "gpu1\u0430",
    "r\u03bfot",
    "sc\u03bfpe.x",
    "\uff41d\u0430",
    "n\u043ede_1",
]
FORMAT = [
    "ada\u202e",
    "a\u200bda",
    "a\u200dda",
    "ad\u00ada",
    "\ufeffada",
    "ada\u2066x",
    "a\nb",
    "a\tb",
    "a\x07",
    "a\u2028b",
    "a\ue000",
    "a\u0378",
    "a\U000e0041",
    "a\u00a0b",
    "a\u180eb",
]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_in_one_script_a_word_is_fine(name):
    check_name(name)


@pytest.mark.parametrize("name", MIXED)
def test_a_word_of_several_scripts_is_refused(name):
    with pytest.raises(ValidationError, match="several scripts"):
        check_name(name)


@pytest.mark.parametrize("name", FORMAT)
def test_what_is_not_seen_is_refused(name):
    with pytest.raises(ValidationError, match="invisible"):
        check_name(name)
    with pytest.raises(ValidationError, match="invisible"):
        Label().run_validation(name)


def test_no_control_or_format_character_is_missed():
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)) in {"Cc", "Cf", "Zl", "Zp"}:
            assert not chr(number).isprintable()


def test_folding_twice_changes_nothing():
    for number in range(sys.maxunicode + 1):
        if unicodedata.category(chr(number)) not in {"Cs", "Cn", "Co"}:
            once = folded(chr(number))
            assert folded(once) == once, hex(number)


@pytest.mark.django_db
@pytest.mark.parametrize("name", [*MIXED, *FORMAT])
def test_no_user_organization_cluster_node_or_display_name_has_it(api, ada, org, cluster, name):
    client = api(ada)
    nodes = f"/api/clusters/{cluster.pk}/nodes"
    calls = [
        (client.post, REGISTER, {"username": name, "password": PASSWORD}, "username"),
        (client.patch, "/api/users/me", {"profile": {"display_name": name}}, "profile"),
        (client.post, "/api/orgs/create", {"name": name}, "name"),
        (client.patch, f"/api/clusters/{cluster.pk}", {"name": name}, "name"),
        (client.post, nodes, {"name": name, "cpu": 1, "ram": 1, "gpu": 0}, "name"),
    ]
    for call, path, sent, field in calls:
        answer = call(path, sent)
        assert answer.status_code == 400, path
        assert field in answer.json()["fields"], path


@pytest.mark.django_db
def test_a_word_of_the_api_is_not_written_with_letters_that_become_ours(api, ada, dev, cluster):
    """The capital of the dotless i is I, that of the long s is S."""
    submit = body(cluster, priority="h\u0131gh")
    for answer, field in [
        (api(dev).post("/api/deployments", submit), "priority"),
        (api(dev).get("/api/deployments?status=runn\u0131ng"), "status"),
        (api(dev).get("/api/deployments?priority=h\u0131gh"), "priority"),
        (api(ada).patch(f"/api/clusters/{cluster.pk}", {"state": "pau\u017fed"}), "state"),
    ]:
        assert answer.status_code == 400
        assert set(answer.json()["fields"]) == {field}
