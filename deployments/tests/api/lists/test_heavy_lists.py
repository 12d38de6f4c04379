"""Lists of rows that are as large as a tenant can make them."""

from typing import Any

import pytest

from clusters.models import Cluster
from clusters.tests.allocation import make_node
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.tests.workloads import make
from mlops_platform.tests.input.test_large_lists import pages, rows_of

MIB = 1024 * 1024


@pytest.fixture
def heavy(ada: Any, cluster: Any) -> dict[str, int]:
    """Rows of about 100 KB in each list that may have such: path and number."""
    node = make_node(cluster)
    placement = [
        {"node_id": str(node.pk), "node": f"{'n' * 90}{number}", "replicas": 1}
        for number in range(600)
    ]
    selector = {f"{'a' * 200}.example.org/{'b' * 60}{number}": "c" * 60 for number in range(64)}
    for number in range(150):
        make_node(cluster, name=f"heavy-{number}", labels=selector)
    Cluster.objects.update(total_cpu_milli=10**9, total_ram_mib=10**9, total_gpu=10**6)
    rows = [make(cluster, ada, Status.RUNNING) for _ in range(120)]
    Deployment.objects.update(placement=placement, node_selector=selector, args=["x" * 100_000])
    DeploymentEvent.objects.bulk_create(
        DeploymentEvent(deployment=rows[0], type="NOTICE", details={"message": "x" * 50_000})
        for _ in range(150)
    )
    return {
        "/api/deployments": len(rows),
        f"/api/clusters/{cluster.pk}/deployments": len(rows),
        f"/api/deployments/{rows[0].pk}/events": 150,
        f"/api/clusters/{cluster.pk}/nodes": 151,
    }


def test_a_list_of_heavy_rows_comes_in_small_pages(api, ada, heavy):
    for path, count in heavy.items():
        answers = pages(api(ada), path, limit=1000)
        rows = rows_of(answers)
        assert len(rows) == count
        assert len(answers) > 1
        assert max(len(answer.content) for answer in answers) < 4 * MIB


def test_a_list_of_deployments_leaves_out_what_may_be_large(api, ada, cluster):
    row = make(cluster, ada, args=["x" * 100_000], command=["sh"])
    large = {"command", "args", "env_names", "secrets", "readiness"}
    large |= {"shm_mib", "ephemeral_mib", "user", "workdir", "ulimits", "pull_policy"}
    large |= {"retry_on", "fail_on", "retry_ram_factor", "retry_ram_limit"}
    large |= {"stop_signal", "pre_stop", "checkpoint_file", "placements"}
    shown = api(ada).get(f"/api/deployments/{row.pk}").json()
    for path in ("/api/deployments", f"/api/clusters/{cluster.pk}/deployments"):
        [listed] = api(ada).get(path).json()
        assert listed == {name: value for name, value in shown.items() if name not in large}
