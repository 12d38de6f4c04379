"""Volumes of kind S3: offered, changed and withdrawn at /api/clusters/{id}/volumes."""

import socket
from functools import partial

import pytest

from clusters.models import Volume
from clusters.services.volumes import add_volume
from clusters.tests.allocation import row
from clusters.tests.endpoints.resolver import getaddrinfo
from organizations.secrets import owners
from organizations.secrets.services import put_secret

NAMES = {
    "s3.example.org": ["10.20.0.7"],
    "here.example.org": ["127.0.0.1"],
    "one-of-both.example.org": ["10.20.0.7", "169.254.169.254"],
}
KEYS = {"access_key_id": "s3-key-id", "secret_access_key": "s3-key"}
BUCKET = {"endpoint": "https://s3.example.org", "bucket": "datasets"}
OWN = {"name": "sets", "kind": "S3", "source": BUCKET}
WHOLE = {**BUCKET, "prefix": "imagenet/train", "region": "eu-central-1", "max_mib": 2048}


@pytest.fixture(autouse=True)
def _fetching(settings, names, monkeypatch):
    settings.FETCH_IMAGE = "registry.example.org/mlops-platform:1"
    monkeypatch.setattr(socket, "getaddrinfo", partial(getaddrinfo, NAMES))


@pytest.fixture
def keys(org, ada):
    for name in KEYS.values():
        put_secret(ada, owners.organization(org.pk), name, f"value of {name}")


def path(cluster, volume=None):
    return f"/api/clusters/{cluster.pk}/volumes" + (f"/{volume.pk}" if volume else "")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("which", ["docker", "kube", "cluster"])
@pytest.mark.parametrize("source", [BUCKET, {**WHOLE, "secrets": KEYS}])
def test_an_admin_offers_a_bucket_and_members_see_no_value(
    api, ada, dev, vera, which, source, request
):
    cluster = request.getfixturevalue(which)
    answer = api(ada).post(path(cluster), {**OWN, "source": source})
    assert answer.status_code == 201, answer.json()
    volume = Volume.objects.get()
    assert (volume.source, volume.read_only, volume.trusted) == (source, True, False)
    for member in (ada, dev, vera):
        answer = api(member).get(path(cluster, volume))
        assert (answer.json()["source"], answer.json()["read_only"]) == (source, True)
        assert b"value of" not in answer.content
        assert "trusted" not in answer.json()


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"source": {"bucket": "datasets"}}, "source", "endpoint"),
        ({"source": {"endpoint": "https://s3.example.org"}}, "source", "bucket"),
        ({"source": {**BUCKET, "bucket": "Data"}}, "source", "bucket"),
        ({"source": {**BUCKET, "bucket": "a/b"}}, "source", "bucket"),
        ({"source": {**BUCKET, "prefix": "a/../b"}}, "source", "prefix"),
        ({"source": {**BUCKET, "prefix": "/a"}}, "source", "prefix"),
        ({"source": {**BUCKET, "region": "EU west"}}, "source", "region"),
        ({"source": {**BUCKET, "max_mib": 0}}, "source", "max_mib"),
        ({"source": {**BUCKET, "max_mib": 102_401}}, "source", "102400 MiB at most"),
        ({"source": {**BUCKET, "path": "/srv"}}, "source", "path"),
        ({"source": {**BUCKET, "secrets": {"access_key_id": "a"}}}, "source", "secret_access_key"),
        ({"source": {**BUCKET, "secrets": KEYS}}, "source", "no such secret"),
        ({"source": {**BUCKET, "secrets": {**KEYS, "access_key_id": "a b"}}}, "source", "key_id"),
        ({"read_only": False}, "read_only", "always read-only"),
        ({"kind": "PVC"}, "source", "Not for this kind."),
    ],
)
def test_bad_values_are_named(api, ada, kube, body, field, said):
    answer = api(ada).post(path(kube), {**OWN, **body})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert said in answer.content.decode()
    assert not Volume.objects.exists()


@pytest.mark.parametrize(
    "endpoint",
    [
        *("http://127.0.0.1:9000", "https://[::1]", "https://169.254.169.254"),
        *("https://here.example.org", "https://one-of-both.example.org"),
        *("https://unknown.example.org", "http://0.0.0.0", "http://2130706433"),
        *("ftp://s3.example.org", "s3.example.org", "https://", "https://s3.example.org/path"),
        *("https://ada:word@s3.example.org", "https://s3.example.org?a=b", "https://a b"),
    ],
)
def test_a_tenants_bucket_is_at_no_address_of_the_platforms(api, ada, docker, endpoint):
    body = {**OWN, "source": {**BUCKET, "endpoint": endpoint}}
    answer = api(ada).post(path(docker), body)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["source"]
    kept = add_volume(docker, {**OWN, "read_only": True})
    before = row(kept)
    answer = api(ada).patch(path(docker, kept), {"source": body["source"]})
    assert answer.status_code == 400
    assert row(kept) == before


def test_what_an_operator_offers_may_be_anywhere_and_stays_the_operators(api, ada, docker):
    source = {**BUCKET, "endpoint": "http://127.0.0.1:9000"}
    body = {**OWN, "source": source, "read_only": True}
    volume = add_volume(docker, body, trusted=True)
    before = row(volume)
    for answer in (
        api(ada).patch(path(docker, volume), {"source": BUCKET}),
        api(ada).delete(path(docker, volume)),
    ):
        assert (answer.status_code, answer.json()["code"]) == (409, "offered_by_operator")
    assert row(volume) == before


def test_without_an_image_that_fetches_none_is_offered(api, ada, docker, kube, cluster, settings):
    settings.FETCH_IMAGE = ""
    for each in (docker, kube):
        answer = api(ada).post(path(each), OWN)
        assert answer.status_code == 400
        assert "FETCH_IMAGE" in answer.json()["fields"]["kind"][0]
    assert api(ada).post(path(cluster), OWN).status_code == 201


def test_it_is_never_made_writable(api, ada, docker):
    volume = add_volume(docker, {**OWN, "read_only": True})
    answer = api(ada).patch(path(docker, volume), {"read_only": False})
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["read_only"])


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_offer_and_change_none(api, docker, person, status, request):
    volume = add_volume(docker, {**OWN, "read_only": True})
    client, before = api(request.getfixturevalue(person)), row(volume)
    for answer in (
        client.post(path(docker), {**OWN, "name": "other"}),
        client.patch(path(docker, volume), {"source": WHOLE}),
        client.delete(path(docker, volume)),
    ):
        assert answer.status_code == status
    assert row(volume) == before
