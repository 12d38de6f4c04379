"""The operators' pages of registries and sandboxes, and of clusters with containers."""

import pytest
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster, Registry, Sandbox, State
from clusters.queries import registries_of
from clusters.services.registries import put_registry
from clusters.tests.admin.test_clusters import form_of
from clusters.tests.allocation import make_node, row
from clusters.tests.attached import NOTHING
from organizations.tests.people import PASSWORD


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def add(kind):
    return reverse(f"admin:clusters_{kind}_add")


def page(instance):
    name = instance._meta.model_name
    return reverse(f"admin:clusters_{name}_change", args=[instance.pk])


# --- Registries ----------------------------------------------------------------------------------

GIVEN = {"host": "docker.io", "username": "robot", "password": "hunter2"}


def test_a_registry_is_added_and_its_password_replaced(operator, docker):
    assert operator.post(add("registry"), {"cluster": docker.pk, **GIVEN}).status_code == 302
    assert registries_of(docker) == [("docker.io", "robot", "hunter2")]
    registry = Registry.objects.get()
    text = operator.get(page(registry)).content.decode()
    assert "hunter2" not in text
    assert registry.secret not in text
    given = {"username": "other", "password": "new", "host": "evil.example"}
    assert operator.post(page(registry), given).status_code == 302
    assert registries_of(docker) == [("docker.io", "other", "new")]


def test_the_same_host_again_replaces_it(operator, docker):
    kept = put_registry(docker, "docker.io", "ada", "old")
    answer = operator.post(add("registry"), {"cluster": docker.pk, **GIVEN, "host": "Docker.io"})
    assert answer.status_code == 302
    assert Registry.objects.get().pk == kept.pk
    assert registries_of(docker) == [("docker.io", "robot", "hunter2")]


@pytest.mark.parametrize(
    ("which", "fault", "said"),
    [
        ("docker", {"host": "https://docker.io"}, "What stands before the first /"),
        ("docker", {"username": "a:b"}, "No colon"),
        ("docker", {"password": ""}, "This field is required."),
        ("cluster", {}, "A simulated cluster pulls no images."),
    ],
)
def test_a_bad_registry_is_a_form_error(operator, which, fault, said, request):
    cluster = request.getfixturevalue(which)
    answer = operator.post(add("registry"), {"cluster": cluster.pk, **GIVEN, **fault})
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert "hunter2" not in answer.content.decode()
    assert not Registry.objects.exists()


def test_a_registry_is_deleted(operator, docker):
    registry = put_registry(docker, "docker.io", "ada", "hunter2")
    path = reverse("admin:clusters_registry_delete", args=[registry.pk])
    assert "hunter2" not in operator.get("/admin/clusters/registry/").content.decode()
    assert operator.post(path, {"post": "yes"}).status_code == 302
    assert not Registry.objects.exists()


# --- Sandboxes -----------------------------------------------------------------------------------

USUAL = {"pids_limit": "4096", "network": "bridge"}


def test_a_sandbox_is_loosened(operator, docker):
    given = {
        "cluster": docker.pk,
        "pids_limit": "100",
        "add_capabilities": ["NET_ADMIN", "SYS_PTRACE"],
        "allow_privilege_escalation": "on",
        "read_only_root": "on",
        "network": "ml-net",
    }
    assert operator.post(add("sandbox"), given).status_code == 302
    sandbox = Sandbox.objects.get()
    assert (sandbox.cluster, sandbox.pids_limit, sandbox.network) == (docker, 100, "ml-net")
    assert sandbox.add_capabilities == ["NET_ADMIN", "SYS_PTRACE"]
    assert sandbox.allow_privilege_escalation
    assert sandbox.read_only_root
    assert operator.post(page(sandbox), {**USUAL, "network": "none"}).status_code == 302
    after = row(sandbox)
    assert (after["network"], after["add_capabilities"]) == ("none", [])
    assert not after["allow_privilege_escalation"]


@pytest.mark.parametrize(
    ("which", "fault"),
    [
        ("docker", {"network": "host"}),
        ("docker", {"network": "container:other"}),
        ("docker", {"network": " "}),
        ("docker", {"network": "a b"}),
        ("docker", {"pids_limit": "0"}),
        ("docker", {"pids_limit": "99999999"}),
        ("docker", {"add_capabilities": ["ALL"]}),
        ("docker", {"add_capabilities": ["CAP_NET_ADMIN"]}),
        ("cluster", {}),
    ],
)
def test_an_invalid_sandbox_is_refused(operator, which, fault, request):
    cluster = request.getfixturevalue(which)
    answer = operator.post(add("sandbox"), {"cluster": cluster.pk, **USUAL, **fault})
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not Sandbox.objects.exists()


def test_a_cluster_has_one_sandbox(operator, docker):
    for status in (302, 200):
        answer = operator.post(add("sandbox"), {"cluster": docker.pk, **USUAL})
        assert answer.status_code == status
    assert Sandbox.objects.count() == 1


@pytest.mark.parametrize("kind", ["registry", "sandbox", "endpoint"])
def test_a_tenant_reaches_none_of_these_pages(client, docker, ada, kind):
    client.force_login(ada)
    assert client.post(add(kind), {"cluster": docker.pk, **USUAL, **GIVEN}).status_code == 302
    assert not Sandbox.objects.exists()
    assert not Registry.objects.exists()


# --- Clusters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("totals", [{}, dict.fromkeys(NOTHING, "4")])
@pytest.mark.parametrize("runtime", ["docker", "kubernetes"])
def test_a_cluster_that_runs_things_is_added_without_totals(operator, org, runtime, totals):
    fresh = Cluster(name="new", **NOTHING)
    body = {name: value for name, value in form_of(fresh).items() if name not in NOTHING}
    body |= {"organization": str(org.pk), "runtime": runtime, "node_lost_after_s": "60", **totals}
    assert operator.post(add("cluster"), body).status_code == 302
    made = Cluster.objects.get()
    assert {name: getattr(made, name) for name in NOTHING} == NOTHING
    assert (made.runtime, made.node_lost_after_s) == (runtime, 60)


def test_a_simulated_cluster_that_will_have_nodes_needs_no_totals(operator, org):
    body = form_of(Cluster(name="new", **NOTHING), organization=str(org.pk), runtime="simulated")
    assert operator.post(add("cluster"), body | dict.fromkeys(NOTHING, "")).status_code == 302
    made = Cluster.objects.get()
    assert {name: getattr(made, name) for name in NOTHING} == NOTHING


def test_a_simulated_cluster_needs_all_totals_or_none(operator, org):
    body = form_of(Cluster(name="new", **NOTHING), organization=str(org.pk), runtime="simulated")
    body |= {"total_cpu_milli": "4", "total_ram_mib": "1024", "total_gpu": ""}
    answer = operator.post(add("cluster"), body)
    assert answer.status_code == 200
    assert "This field is required." in answer.content.decode()
    assert not Cluster.objects.exists()


def test_its_page_has_no_totals_to_change(operator, docker, engine):
    text = operator.get(page(docker)).content.decode()
    assert 'name="total_gpu"' not in text
    body = form_of(docker, total_gpu="9", node_lost_after_s="60")
    assert operator.post(page(docker), body).status_code == 302
    after = row(docker)
    assert (after["total_gpu"], after["node_lost_after_s"]) == (0, 60)
    assert operator.get(page(engine)).status_code == 200


def test_a_cluster_being_deleted_is_shown_and_not_changed(operator, docker):
    Cluster.objects.update(state=State.DELETING)
    text = operator.get(page(docker)).content.decode()
    assert "DELETING" in text
    assert 'value="resume"' not in text
    given = {"action": "resume", "index": "0", "_selected_action": [docker.pk]}
    answer = operator.post("/admin/clusters/cluster/", given, follow=True)
    said = [str(message) for message in answer.context["messages"]]
    assert said == ["Left as they were: engines is being deleted"]
    assert row(docker)["state"] == State.DELETING


def test_nodes_are_shown_and_filtered_by_the_state_that_comes_of_both(operator, cluster):
    node = make_node(cluster, observed="NOT_READY")
    path = "/admin/clusters/node/"
    assert "NOT_READY" in operator.get(page(node)).content.decode()
    for state, found in (("NOT_READY", True), ("READY", False)):
        text = operator.get(path, {"state__exact": state}).content.decode()
        assert (page(node) in text) == found
