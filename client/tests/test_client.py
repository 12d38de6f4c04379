"""The Python client on a platform as `make run` starts it."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

import pytest

from mlops import ApiError, Client, NotAuthenticatedError, NotFoundError, Record
from mlops.following import MissingOutputError
from tests.conftest import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]


def submit(lab: Lab, name: str, **fields: Any) -> Any:
    job = {"cluster_id": lab.cluster, "image": "train:1", "required_cpu": 1, "required_gpu": 1}
    return lab.ada.deployments.submit(**{**job, "required_ram": "1Gi", "name": name, **fields})


def test_from_a_submit_to_its_end(lab: Lab) -> None:
    job = submit(lab, "quick", simulated_runtime_s=0.1)
    assert (job.name, job.owner, job.required_ram) == ("quick", "ada", 1024)
    assert isinstance(job.created_at, datetime)
    ended = job.wait(timeout=60)
    assert (ended.status, ended.ended) == ("COMPLETED", True)
    assert ended.finished_at >= ended.started_at
    types = [event.type for event in ended.events()]
    assert types[0] == "SUBMITTED"
    assert types[-1] == "COMPLETED"


def test_wait_gives_up_after_its_timeout_and_stops_at_a_status(lab: Lab) -> None:
    job = submit(lab, "long")
    with pytest.raises(TimeoutError, match="long is RUNNING"):
        job.wait(until=("RUNNING",), timeout=60).wait(timeout=0.1)
    assert job.stop().wait(timeout=60).status == "STOPPED"


def test_why_it_waits_is_a_record_within_records(lab: Lab) -> None:
    job = submit(lab, "huge", required_gpu=64)
    reason = job.explain().reason
    assert reason.code
    assert isinstance(reason, Record)
    assert isinstance(reason.details, dict)
    job.stop()


def test_a_simulated_deployment_has_no_output_and_says_why(lab: Lab) -> None:
    job = submit(lab, "mute", simulated_runtime_s=0.1).wait(timeout=60)
    for follow in (False, True):
        with pytest.raises(MissingOutputError, match="no container runs") as caught:
            list(job.logs(follow=follow))
        assert caught.value.code == "simulated"


def test_events_are_followed_from_a_cursor(lab: Lab) -> None:
    job = submit(lab, "seen", simulated_runtime_s=0.1)
    events = lab.ada.organizations.follow_events(lab.organization, deployment_id=job.id)
    followed = list(islice(events, 2))
    assert [event.name for event in followed] == ["seen", "seen"]
    assert followed[0].type == "SUBMITTED"
    later = lab.ada.organizations.follow_events(
        lab.organization, deployment_id=job.id, since=followed[0].cursor
    )
    assert next(later).cursor == followed[1].cursor


def test_lists_go_on_over_pages_and_filters_narrow_them(lab: Lab) -> None:
    jobs = [submit(lab, f"page-{n}", required_gpu=0) for n in range(3)]
    found = lab.ada.deployments.list(name="page-*", limit=1)
    assert {row.id for row in found} == {job.id for job in jobs}
    assert len(list(lab.ada.deployments.list(name="page-*", at_most=2))) == 2
    assert lab.ada.deployments.list(name="nothing").first() is None
    stopped = lab.ada.deployments.act(action="stop", ids=jobs)
    assert stopped.done == 3


def test_nodes_are_named_and_cordoned(lab: Lab) -> None:
    assert lab.ada.nodes.cordon(lab.nodes_cluster, "node-1").state == "CORDONED"
    assert lab.ada.nodes.uncordon(lab.nodes_cluster, "node-1").state == "READY"
    with pytest.raises(ApiError) as caught:
        lab.grace.nodes.cordon(lab.nodes_cluster, "node-1")
    assert (caught.value.status, caught.value.code) == (403, "permission_denied")


def test_what_is_not_there_is_not_found_and_what_is_faulty_is_named(lab: Lab) -> None:
    with pytest.raises(NotFoundError):
        lab.ada.clusters.get("gpu-nowhere")
    with pytest.raises(ApiError) as caught:
        submit(lab, "faulty", required_gpu=-1)
    assert list(caught.value.fields) == ["required_gpu"]
    assert "required_gpu" in str(caught.value)


def test_a_stranger_is_not_authenticated(lab: Lab) -> None:
    with pytest.raises(NotAuthenticatedError):
        Client(lab.url, "mlops_nothing").users.me()


def test_any_call_can_be_made_by_its_path(lab: Lab) -> None:
    assert lab.ada.request("GET", "/api/users/me")["username"] == "ada"
    changed = lab.ada.request("PATCH", "/api/users/me", profile={"timezone": "Europe/London"})
    assert changed["profile"]["timezone"] == "Europe/London"


def test_records_are_shown_in_notebooks_and_at_the_prompt(lab: Lab) -> None:
    cluster = lab.ada.clusters.get(lab.cluster)
    assert repr(cluster).startswith("<Cluster gpu-east ACTIVE ")
    assert "<th>total_gpu</th><td>8</td>" in cluster._repr_html_()
    assert "<td>gpu-east</td>" in lab.ada.clusters.list()._repr_html_()
    assert "cordon(cluster, node, **fields): POST" in repr(lab.ada.nodes.cordon)
    assert "total_gpu" in dir(cluster)
    assert dict(cluster)["name"] == "gpu-east"
