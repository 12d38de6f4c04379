"""An upgrade from the last version under load: the new schema under old processes, and then new
processes beside old ones, one after another."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.upgrades.ends import wait_for_the_end
from mlops_platform.tests.upgrades.installation import Installation, environment_on
from mlops_platform.tests.upgrades.last_version import unpack
from mlops_platform.tests.upgrades.load import Load, Proxy, create_cluster, set_up, workload

pytestmark = pytest.mark.e2e
WAIT_S = 120.0


@pytest.fixture
def versions(database_url: str, tmp_path: Path) -> Iterator[tuple[Installation, Installation]]:
    """The last version and this one. Their logs are shown when the test fails."""
    environment = environment_on(database_url)
    for name in ("code", "old", "new"):
        (tmp_path / name).mkdir()
    unpack(tmp_path / "code")
    both = (
        Installation(tmp_path / "code", tmp_path / "old", environment),
        Installation(REPOSITORY, tmp_path / "new", environment),
    )
    yield both
    for version in both:
        version.kill()
    print("".join(version.logs() for version in both))  # noqa: T201 - pytest shows it


def submit(proxy: Proxy, port: int, cluster: str) -> str:
    body = workload(cluster, simulated_runtime_s=600)
    answer = proxy.call("POST", "/api/deployments", body, port=port)
    assert answer.status == 201, answer
    return str(answer.body["id"])


def wait_until(proxy: Proxy, deployment: str, status: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while (now := proxy.call("GET", f"/api/deployments/{deployment}").body)["status"] != status:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def test_an_upgrade_under_load_loses_nothing_and_answers_every_request(
    versions: tuple[Installation, Installation], database_url: str
) -> None:
    old, new = versions
    proxy = Proxy()
    old.manage("migrate", "--verbosity=0")
    old.start("web", *old.others())
    proxy.ports = [old.port]
    tight, roomy = set_up(proxy)
    with Load(proxy, tight) as load:
        load.more(10)
        of_before = submit(proxy, old.port, roomy)
        wait_until(proxy, of_before, "RUNNING")

        new.manage("migrate", "--verbosity=0")
        load.more(10)
        organization = proxy.call("GET", f"/api/clusters/{tight}").body["organization_id"]
        create_cluster(proxy, organization, "made by the version before", 1)

        new.start("web")
        proxy.ports = [old.port, new.port]
        to_old_worker = submit(proxy, new.port, roomy)
        wait_until(proxy, to_old_worker, "RUNNING")
        key = {"Idempotency_Key": "once"}
        body = workload(roomy, simulated_runtime_s=600)
        first = proxy.call("POST", "/api/deployments", body, port=old.port, **key)
        again = proxy.call("POST", "/api/deployments", body, port=new.port, **key)
        assert (first.status, again.body["id"]) == (201, first.body["id"])
        load.more(10)

        new.start(*new.others())
        load.more(10)
        old.stop(*old.others())
        to_new_worker = submit(proxy, old.port, roomy)
        wait_until(proxy, to_new_worker, "RUNNING")
        stop = proxy.call("POST", f"/api/deployments/{of_before}/stop", {}, port=old.port)
        assert stop.body["status"] == "STOPPED", stop

        proxy.ports = [new.port]
        old.stop("web")
        load.more(10)

    assert proxy.server_errors == []
    assert load.refused == []
    for deployment in (to_old_worker, to_new_worker, first.body["id"]):
        wait_until(proxy, deployment, "RUNNING")
    more = {"total_cpu": 1000, "total_ram": 1000 * 1024, "total_gpu": 1000}
    assert proxy.call("PATCH", f"/api/clusters/{tight}", more).status == 200
    wait_for_the_end(database_url, load.submitted)
    # What processes of the last version began and ended has its intervals within a minute.
    new.manage("shell", "-c", "from deployments.usage import rollups; rollups.mend()")
    new.manage("audit", "--queues")
    replayed = new.manage("replay", "--all")
    assert "of another version" in replayed
    assert "the same plan" in replayed
    assert sum("Traceback" in version.logs() for version in versions) == 0
