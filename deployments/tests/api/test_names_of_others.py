"""Labels and selectors are words of users: no id in them is looked up as a deployment."""

import pytest

from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Deployment, DeploymentEvent, EventType
from deployments.tests.workloads import body, make

KEYS = ("by", "head", "after", "deployment_id", "end_of")


@pytest.fixture
def secret(sams_org, sam):
    """A deployment of strangers."""
    return make(make_cluster(sams_org, name="theirs"), sam, name="secret-plan")


def says_nothing_of_strangers(answer):
    assert answer.status_code in (200, 201), answer.content
    text = answer.content.decode()
    assert "secret-plan" not in text
    assert "sam" not in text
    return answer.json()


@pytest.mark.django_db(transaction=True)
def test_no_label_or_selector_shows_what_a_deployment_of_strangers_is_called(
    api, dev, cluster, org, secret
):
    make_node(cluster)
    words = dict.fromkeys(KEYS, str(secret.pk))
    asked = body(cluster, labels=words, node_selector=words)
    row = says_nothing_of_strangers(api(dev).post("/api/deployments", asked))
    path = f"/api/deployments/{row['id']}"
    other = {**words, "more": "x"}
    changed = api(dev).patch(path, {"labels": other, "node_selector": other})
    assert says_nothing_of_strangers(changed)["labels"] == other
    Deployment.objects.filter(pk=row["id"]).update(
        reason_code="NO_MATCHING_NODE", reason_details={"node_selector": words}
    )
    for each in (path, f"{path}/explain", f"{path}/events", f"/api/orgs/{org.pk}/events"):
        says_nothing_of_strangers(api(dev).get(each))
    [event] = [
        each for each in api(dev).get(f"{path}/events").json() if each["type"] == EventType.CHANGED
    ]
    assert event["details"]["labels"] == {"from": words, "to": other}
    quote = api(dev).post("/api/deployments/quote", asked)
    says_nothing_of_strangers(quote)


def test_what_refers_to_a_deployment_elsewhere_says_its_id_alone(api, dev, cluster, secret):
    """No cycle writes that; whatever should does not tell names to strangers."""
    row = make(cluster, dev, reason_code="PREEMPTED", reason_details={"by": str(secret.pk)})
    DeploymentEvent.objects.create(
        deployment=row,
        cluster_id=cluster.pk,
        type=EventType.PREEMPTED,
        at=row.created_at,
        details={"by": str(secret.pk)},
    )
    for each in ("", "/events"):
        says_nothing_of_strangers(api(dev).get(f"/api/deployments/{row.pk}{each}"))
