"""The operators' pages of volumes."""

import json

import pytest
from django.urls import reverse

from accounts.models import User
from clusters.models import Volume
from clusters.services.volumes import add_volume
from clusters.tests.allocation import row
from deployments.tests.workloads import make
from organizations.tests.people import PASSWORD

ADD = "admin:clusters_volume_add"
FOLDER = {"name": "data", "kind": "HOST_PATH", "source": '{"path": "/srv/data/sets"}'}


@pytest.fixture
def operator(client, db, settings):
    settings.VOLUME_HOST_ROOTS = ("/srv/data",)
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


def page(volume, to="change"):
    return reverse(f"admin:clusters_volume_{to}", args=[volume.pk])


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("HOST_PATH", {"path": "/srv/data/sets"}),
        ("NFS", {"server": "nas.example.org", "path": "/export"}),
        ("DOCKER_VOLUME", {"volume": "of-the-host"}),
    ],
)
def test_an_operator_offers_what_tenants_may_not(operator, docker, kind, source):
    body = {"cluster": docker.pk, "name": "data", "kind": kind, "source": json.dumps(source)}
    answer = operator.post(reverse(ADD), {**body, "node_selector": '{"zone": "b"}'})
    assert answer.status_code == 302
    volume = Volume.objects.get()
    assert (volume.kind, volume.source) == (kind, source)
    assert volume.node_selector == {"zone": "b"}
    assert operator.get(page(volume)).status_code == 200
    assert operator.get(reverse("admin:clusters_volume_changelist")).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"source": '{"path": "/etc"}'},
        {"source": "{}"},
        {"source": "no JSON"},
        {"source": '["/srv/data/a"]'},
        {"name": "A b"},
        {"kind": "PVC", "source": '{"claim": "a"}'},
        {"node_names": "{}x"},
    ],
)
def test_faults_are_shown_on_the_form(operator, docker, fault):
    answer = operator.post(reverse(ADD), {"cluster": docker.pk, **FOLDER, **fault})
    assert answer.status_code == 200
    assert "errornote" in answer.content.decode()
    assert not Volume.objects.exists()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"source": "{}"}, "path: Required for this kind."),
        ({"source": '{"path": "srv"}'}, "path: An absolute path such as /data, without .. in it."),
        ({"source": '{"path": "/etc"}'}, "Its path lies below none of VOLUME_HOST_ROOTS."),
        ({"name": "A b"}, "Lower-case letters, digits and -, which neither begins nor ends it"),
        ({"node_names": '["a", "a"]'}, "Each node at most once."),
        ({"node_selector": '{"zone": 1}'}, "zone: "),
    ],
)
def test_a_fault_is_said_in_a_sentence(operator, docker, fault, sentence):
    page = operator.post(reverse(ADD), {"cluster": docker.pk, **FOLDER, **fault}).content.decode()
    assert sentence in page
    assert "ErrorDetail" not in page


def test_an_empty_form_shows_empty_values_and_takes_them(operator, docker):
    fields = operator.get(reverse(ADD)).context["adminform"].form
    assert [fields[name].value() for name in ("source", "node_names", "node_selector")] == [
        "{}",
        "[]",
        "{}",
    ]
    body = {"cluster": docker.pk, "name": "data", "kind": "DOCKER_VOLUME", "node_names": "[]"}
    assert operator.post(reverse(ADD), body).status_code == 302
    assert Volume.objects.get().node_names == []


def test_a_list_that_shows_all_does_not_offer_to(operator, docker):
    add_volume(docker, {"name": "data", "kind": "DOCKER_VOLUME"})
    listed = reverse("admin:clusters_volume_changelist")
    assert "Show all" not in operator.get(listed).content.decode()
    assert "Show all" in operator.get(listed, {"q": "data"}).content.decode()
    assert "Show all" in operator.get(listed, {"kind__exact": "DOCKER_VOLUME"}).content.decode()


def test_an_operator_offers_a_bucket_at_any_address_and_hears_what_is_amiss(
    operator, docker, settings
):
    settings.FETCH_IMAGE = "mlops-platform"
    source = {"endpoint": "http://127.0.0.1:9000", "bucket": "datasets"}
    body = {"cluster": docker.pk, "name": "sets", "kind": "S3", "source": json.dumps(source)}
    for answer in (
        operator.post(reverse(ADD), body),
        operator.post(reverse(ADD), {**body, "read_only": "on", "source": '{"bucket": "sets"}'}),
    ):
        assert "errornote" in answer.content.decode()
    assert operator.post(reverse(ADD), {**body, "read_only": "on"}).status_code == 302
    volume = Volume.objects.get()
    assert (volume.source, volume.trusted, volume.read_only) == (source, True, True)
    assert operator.get(page(volume)).status_code == 200


def test_a_name_that_is_taken_is_said(operator, docker):
    for status in (302, 200):
        answer = operator.post(reverse(ADD), {"cluster": docker.pk, **FOLDER})
        assert answer.status_code == status
    assert "There is a volume data already." in answer.content.decode()


def test_an_operator_changes_and_withdraws_it(operator, docker):
    volume = add_volume(docker, {"name": "data", "kind": "DOCKER_VOLUME"})
    assert operator.post(page(volume), {"read_only": "on", "source": "{}"}).status_code == 302
    assert row(volume)["read_only"]
    assert operator.post(page(volume, "delete"), {"post": "yes"}).status_code == 302
    assert not Volume.objects.exists()


def test_one_in_use_is_not_withdrawn(operator, docker, dev):
    volume = add_volume(docker, {"name": "data", "kind": "DOCKER_VOLUME"})
    make(docker, dev, volumes=[{"name": "data", "path": "/data"}])
    answer = operator.post(page(volume, "delete"), {"post": "yes"}, follow=True)
    assert "mounts the volume" in answer.content.decode()
    chosen = {"action": "delete_selected", "_selected_action": [volume.pk], "post": "yes"}
    operator.post(reverse("admin:clusters_volume_changelist"), chosen)
    assert Volume.objects.exists()


def test_a_tenant_reaches_no_such_page(client, docker, ada):
    client.force_login(ada)
    assert client.post(reverse(ADD), {"cluster": docker.pk, **FOLDER}).status_code == 302
    assert not Volume.objects.exists()
