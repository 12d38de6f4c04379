"""The console's pages without a browser: what each shows to whom, refusals, and live parts."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clusters.models import Cluster, Node, NodeState
from deployments.house_rules import HouseRules, Stop
from deployments.models import Deployment, Status
from mlops_platform.console.pages.amounts import amounts_of
from mlops_platform.console.tests.pages import PAGES, addresses, waiting
from mlops_platform.headers import STRICT_POLICY
from mlops_platform.tests.equipment.world import World, fingerprint
from organizations.models import Organization, Role
from organizations.tests.people import PASSWORD, make_member

MEMBERS = ("viewer", "developer", "admin")
OF_ONE = ("cluster", "running", "why")


def address(name: str, world: World) -> str:
    return addresses(world)[name]


def browser(world: World, person: str) -> Client:
    client = Client(headers={"accept": "text/html"})
    user = world.users[person]
    if user is not None:
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("person", MEMBERS)
@pytest.mark.parametrize("name", PAGES)
def test_a_member_sees_each_page(world: World, name: str, person: str) -> None:
    answer = browser(world, person).get(address(name, world))
    assert answer.status_code == 200
    assert answer["Content-Security-Policy"] == STRICT_POLICY
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "no-store"
    text = answer.content.decode()
    assert not re.search(r"\sstyle=|<style|\son[a-z]+=", text)
    assert len(answer.content) < 200_000


@pytest.mark.parametrize("name", PAGES)
def test_a_page_makes_so_many_queries(world: World, name: str) -> None:
    client, path = browser(world, "developer"), address(name, world)
    with CaptureQueriesContext(connection) as made:
        assert client.get(path).status_code == 200
    assert len(made) == PAGES[name].queries, [each["sql"][:90] for each in made]
    assert len(made) <= PAGES[name].most


@pytest.mark.parametrize("name", PAGES)
def test_without_a_login_each_page_leads_to_it_and_back(world: World, name: str) -> None:
    path = address(name, world)
    client = browser(world, "anonymous")
    answer = client.get(path)
    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/console/login/")
    login = client.get(answer["Location"])
    assert login.status_code == 200
    form = {"username": "developer", "password": PASSWORD, "next": path}
    assert client.post("/console/login/", form)["Location"] == path


@pytest.mark.parametrize("name", OF_ONE)
def test_a_stranger_finds_nothing_there(world: World, name: str) -> None:
    client = browser(world, "stranger")
    answer = client.get(address(name, world))
    ids = {name: uuid4() for name in (*world.ids, "waiting_id")}
    nowhere = client.get(PAGES[name].path.format(**ids))
    assert (answer.status_code, nowhere.status_code) == (404, 404)
    assert without_tokens(answer) == without_tokens(nowhere)
    assert "<h1>There is nothing here</h1>" in answer.content.decode()


def without_tokens(answer: Any) -> str:
    return re.sub(r'value="[A-Za-z0-9]{64}"', "", answer.content.decode())


@pytest.mark.parametrize("name", ["home", "deployments"])
def test_a_stranger_sees_nothing_of_others(world: World, name: str) -> None:
    text = browser(world, "stranger").get(address(name, world)).content.decode()
    assert "Engines" not in text
    assert world.ids["deployment_id"] not in text


def test_programs_and_browsers_are_led_elsewhere_from_the_front_page(db: None) -> None:
    assert Client().get("/")["Location"] == "/swagger/"
    answer = Client(headers={"accept": "text/html,*/*"}).get("/")
    assert (answer["Location"], answer["Vary"]) == ("/console/", "Accept")


@pytest.mark.parametrize(
    ("used", "total", "said"),
    [
        (148_992, 786_432, "145.5 of 768 GiB"),
        (0, 262_144, "0 of 256 GiB"),
        (1, 512, "1 of 512 MiB"),
    ],
)
def test_memory_is_said_in_one_unit(used: int, total: int, said: str) -> None:
    cluster = Cluster(total_cpu_milli=1, total_ram_mib=total, allocated_ram_mib=used)
    assert amounts_of(cluster)[-1].text == said


@pytest.mark.parametrize("path", ["/nothing", "/admin-/", "/console/nothing/"])
def test_what_is_not_there_is_a_page_for_people(world: World, path: str) -> None:
    for person in ("anonymous", "developer"):
        answer = browser(world, person).get(path)
        assert answer.status_code == 404
        assert "<h1>There is nothing here</h1>" in answer.content.decode()


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing"])
def test_what_is_not_there_is_json_for_programs(db: None, path: str) -> None:
    assert Client().get(path).json()["code"] == "not_found"
    assert Client(headers={"accept": "text/html"}).get("/api/nothing").json()["code"] == "not_found"


def test_a_live_part_that_has_not_changed_is_not_sent_again(world: World) -> None:
    client = browser(world, "developer")
    live = {"HX-Request": "true", "HX-Target": "live"}
    for name in ("home", "deployments", "running"):
        path = address(name, world)
        whole = client.get(path).content.decode()
        first = client.get(path, headers=live)
        text = first.content.decode()
        assert text.strip() in whole
        assert "<h1>" not in text
        again = client.get(path, headers={**live, "If-None-Match": first["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
    Deployment.objects.filter(pk=world.ids["deployment_id"]).update(preemption_count=3)
    after = client.get(path, headers={**live, "If-None-Match": first["ETag"]})
    assert after.status_code == 200
    assert "csrfmiddlewaretoken" not in after.content.decode()


def test_a_session_that_has_ended_leads_a_live_page_to_the_login(world: World) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver/console/deployments/?a=1"}
    answer = browser(world, "anonymous").get("/console/", headers=headers)
    assert answer.status_code == 401
    assert answer["HX-Redirect"] == "/console/login/?next=%2Fconsole%2Fdeployments%2F%3Fa%3D1"


@pytest.mark.parametrize("person", ["viewer", "stranger", "anonymous"])
def test_others_stop_nothing(world: World, person: str) -> None:
    client, before = browser(world, person), fingerprint()
    answer = client.post(reverse("console:stop", args=[world.ids["deployment_id"]]))
    assert answer.status_code == {"viewer": 403, "stranger": 404, "anonymous": 302}[person]
    assert fingerprint() == before


def test_where_house_rules_let_members_stop_their_own_alone_others_have_no_button(
    world: World,
) -> None:
    HouseRules.objects.create(organization_id=world.ids["organization_id"], stop=Stop.OWN)
    other = make_member(
        Organization.objects.get(pk=world.ids["organization_id"]), "otto", Role.DEVELOPER
    )
    client = Client()
    client.force_login(other, "django.contrib.auth.backends.ModelBackend")
    path = reverse("console:stop", args=[world.ids["deployment_id"]])
    assert path not in client.get(address("running", world)).content.decode()
    refused = client.post(path)
    assert refused.status_code == 403
    assert "Ask its owner or an ADMIN" in refused.content.decode()
    assert path in browser(world, "developer").get(address("running", world)).content.decode()


def test_a_form_of_another_site_is_refused_as_a_page(world: World) -> None:
    client = Client(enforce_csrf_checks=True)
    user = world.users["developer"]
    assert user is not None
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    before = fingerprint()
    answer = client.post(reverse("console:stop", args=[world.ids["deployment_id"]]))
    assert answer.status_code == 403
    assert "had no valid token" in answer.content.decode()
    assert fingerprint() == before


def test_a_developer_stops_a_deployment(world: World) -> None:
    client = browser(world, "developer")
    path = reverse("console:stop", args=[world.ids["deployment_id"]])
    answer = client.post(path, follow=True)
    assert answer.redirect_chain == [(address("running", world), 302)]
    assert "It is STOPPED." in answer.content.decode()
    stopped = Deployment.objects.get(pk=world.ids["deployment_id"])
    assert stopped.status == Status.STOPPED


@pytest.mark.parametrize("name", ["stop"])
def test_a_button_is_no_address(world: World, name: str) -> None:
    path = reverse(f"console:{name}", args=[world.ids["deployment_id"]])
    answer = browser(world, "developer").get(path)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_a_button_of_the_panel_is_an_offer_that_is_kept(world: World) -> None:
    Node.objects.update(state=NodeState.READY)
    client = browser(world, "developer")
    path = reverse("console:why", args=[waiting(world).pk])
    panel = client.get(path).content.decode()
    found = re.search(
        r'name="change" value="(priority=HIGH)".*?name="token" value="([^"]+)".*?'
        r"<button>As HIGH \(evicts .+ of developer; \d+ s of work lost\)</button>",
        panel,
        re.DOTALL,
    )
    assert found is not None, panel
    chosen = waiting(world)
    answer = client.post(path, {"change": found[1], "token": found[2]}, follow=True)
    text = answer.content.decode()
    chosen.refresh_from_db()
    assert (chosen.status, chosen.priority_class.name) == (Status.RUNNING, "HIGH"), text
    assert "Done: it is RUNNING." in text
    again = client.post(path, {"change": found[1], "token": found[2]})
    assert again.status_code == 409


def test_a_viewer_sees_why_without_buttons(world: World) -> None:
    text = (
        browser(world, "viewer")
        .get(reverse("console:why", args=[waiting(world).pk]))
        .content.decode()
    )
    assert "What has allocated what it needs" in text
    assert 'name="change"' not in text


def test_a_faulty_filter_is_said_in_words(world: World) -> None:
    client = browser(world, "developer")
    answer = client.get("/console/deployments/", {"name": "*", "status": "RUNNING"})
    assert answer.status_code == 200
    assert "name: Begin with a letter" in answer.content.decode()
    assert client.get("/console/deployments/", {"cursor": "x"}).status_code == 200


def test_the_filters_of_the_list_are_those_of_the_api(world: World) -> None:
    client = browser(world, "developer")
    running = client.get("/console/deployments/", {"status": ["RUNNING"], "name": ""})
    text = running.content.decode()
    assert world.ids["deployment_id"] in text
    assert str(waiting(world).pk) not in text
