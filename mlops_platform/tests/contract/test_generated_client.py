"""A client that openapi-python-client makes of /openapi.json compiles, and works."""

import compileall
import importlib
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest

from mlops_platform import documents
from organizations.tests.people import PASSWORD

PACKAGE = "mlops_client"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's folder; making it says nothing, for each schema could be used."""
    root = tmp_path_factory.mktemp("client")
    document, config = root / "openapi.json", root / "config.json"
    document.write_text(json.dumps(documents.openapi()))
    config.write_text(json.dumps({"post_hooks": []}))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning"]
    command += ["--path", str(document), "--config", str(config), "--meta", "none"]
    command += ["--output-path", str(root / PACKAGE)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    return root / PACKAGE


@pytest.fixture
def client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(folder.parent))
    yield importlib.import_module(PACKAGE)
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def call(tag: str, operation: str) -> Any:
    """What makes the call and returns its status with the object that its answer was read into."""
    return importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}").sync_detailed


def test_every_module_compiles_and_can_be_imported(client, folder):
    assert compileall.compile_dir(str(folder), quiet=1, force=True)
    names = [each.name for each in pkgutil.walk_packages(client.__path__, f"{PACKAGE}.")]
    for name in names:
        importlib.import_module(name)
    calls = [call for path in documents.openapi()["paths"].values() for call in path.values()]
    for each in calls:
        assert f"{PACKAGE}.api.{each['tags'][0]}.{each['operationId']}" in names


@pytest.mark.e2e
def test_it_gets_from_registering_to_a_deployment(server, client):
    models = importlib.import_module(f"{PACKAGE}.models")
    stranger = client.Client(base_url=server)
    ada = models.Register(username="ada", password=PASSWORD)
    registered = call("users", "users_register")(client=stranger, body=ada)
    assert registered.status_code == 201
    login = models.Login(username="ada", password=PASSWORD)
    pair = call("users", "users_login")(client=stranger, body=login).parsed
    user = client.AuthenticatedClient(base_url=server, token=pair.access_token)

    me = call("users", "users_me")(client=user).parsed
    assert (me.id, me.email, me.memberships) == (registered.parsed.id, "", [])

    engines = models.NewOrganization(name="Analytical Engines")
    organization = call("organizations", "orgs_create")(client=user, body=engines).parsed
    pool = models.NewCluster(
        name="gpu-west",
        organization_id=str(organization.id),
        total_cpu=8,
        total_ram=16384,
        total_gpu=2,
        policy=models.Policy(queueing=models.ClusterQueueing.STRICT),
    )
    cluster = call("clusters", "clusters_create")(client=user, body=pool).parsed
    assert cluster.policy.queueing == models.ClusterQueueing.STRICT
    assert cluster.endpoint is None

    train = models.Submit(
        cluster_id=str(cluster.id),
        image="train:1.2",
        required_cpu=0.5,
        required_ram=512,
        required_gpu=1,
        env=models.SubmitEnv.from_dict({"SEED": "42"}),
    )
    submitted = call("deployments", "deployments_submit")(client=user, body=train)
    assert submitted.status_code == 201
    shown = call("deployments", "deployments_get")(submitted.parsed.id, client=user).parsed
    assert shown.status == models.DeploymentStatus.QUEUED
    assert (shown.required_cpu, shown.env_names, shown.exit_code) == (0.5, ["SEED"], None)
    assert shown.reason.code == "NOT_YET_EVALUATED"

    queued = models.DeploymentStatus.QUEUED
    listed = call("deployments", "deployments_list")(client=user, status=[queued], limit=10).parsed
    assert [each.id for each in listed] == [shown.id]
    assert call("deployments", "deployments_logs_get")(shown.id, client=user).parsed == ""
    status = call("clusters", "clusters_status_get")(cluster.id, client=user).parsed
    assert status.queue_lengths.to_dict() == {"HIGH": 0, "LOW": 1}
    assert status.last_cycle is None

    missing = call("deployments", "deployments_get")(uuid4(), client=user)
    assert (missing.status_code, missing.parsed.code) == (404, "not_found")
    train.required_gpu = -1
    refused = call("deployments", "deployments_submit")(client=user, body=train)
    assert refused.status_code == 400
    assert list(refused.parsed.fields.to_dict()) == ["required_gpu"]
