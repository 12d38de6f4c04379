"""The readiness probe of a submit: what is taken, what is refused, by the name of the field."""

import pytest

from deployments.models import Deployment
from deployments.tests.workloads import body

pytestmark = pytest.mark.django_db

PATH = "/api/deployments"
GENERAL = {"interval_s": 5, "timeout_s": 2, "within_s": 600}


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "http", "port": 8080},
        {"kind": "http", "port": 8080, "path": "/ready?deep=1"},
        {"kind": "tcp", "port": 1, "within_s": 5},
        {"kind": "command", "command": ["test", "-e", "/ready"], "interval_s": 60},
        {"kind": "tcp", "port": 1, "liveness": {"after_s": 60, "then": "fail"}},
    ],
)
def test_it_is_kept_and_shown_with_its_defaults(api, dev, cluster, given):
    kind = "service" if "liveness" in given else "job"
    answer = api(dev).post(PATH, body(cluster, readiness=given, kind=kind))
    assert answer.status_code == 201
    assert answer.json()["readiness"] == {**GENERAL, **given}


def test_none_is_fine(api, dev, cluster):
    for given in ({}, {"readiness": None}):
        sent = {**body(cluster), **given}
        assert api(dev).post(PATH, sent).json()["readiness"] is None


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "icmp"}, "kind"),
        ({"port": 80}, "kind"),
        ({"kind": "http"}, "port"),
        ({"kind": "tcp"}, "port"),
        ({"kind": "tcp", "port": 0}, "port"),
        ({"kind": "tcp", "port": 65536}, "port"),
        ({"kind": "tcp", "port": "80"}, "port"),
        ({"kind": "tcp", "port": 80, "path": "/"}, "path"),
        ({"kind": "http", "port": 80, "path": "ready"}, "path"),
        ({"kind": "http", "port": 80, "command": ["x"]}, "command"),
        ({"kind": "command"}, "command"),
        ({"kind": "command", "command": []}, "command"),
        ({"kind": "command", "command": ["x"], "port": 80}, "port"),
        ({"kind": "tcp", "port": 80, "within_s": 0}, "within_s"),
        ({"kind": "tcp", "port": 80, "interval_s": 1.5}, "interval_s"),
        ({"kind": "tcp", "port": 80, "retries": 3}, "retries"),
        ({"kind": "tcp", "port": 80, "liveness": {}}, "after_s"),
        ({"kind": "tcp", "port": 80, "liveness": {"after_s": 0}}, "after_s"),
        ({"kind": "tcp", "port": 80, "liveness": {"after_s": 9, "then": "x"}}, "then"),
        ({"kind": "tcp", "port": 80, "liveness": {"after_s": 9}}, "liveness"),
    ],
)
def test_what_makes_no_sense_is_named(api, dev, cluster, given, field):
    answer = api(dev).post(PATH, body(cluster, readiness=given))
    assert answer.status_code == 400
    assert field in str(answer.json()["fields"]["readiness"])
    assert not Deployment.objects.exists()
