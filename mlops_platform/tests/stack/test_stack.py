"""The image of the Dockerfile, and what compose.yaml makes of it, on a real Docker engine."""

import subprocess
from collections.abc import Iterator
from uuid import uuid4

import pytest

from mlops_platform.tests.stack.composed import Stack, composed

pytestmark = pytest.mark.stack
PASSWORD = "a long enough passphrase"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with composed() as stack:
        yield stack


def logged_in(stack: Stack) -> str:
    """The access token of a new user."""
    name = f"ada-{uuid4().hex[:8]}"
    person = {"username": name, "password": PASSWORD}
    stack.call("POST", "/api/users/register", person)
    return str(stack.call("POST", "/api/users/login", person)["access_token"])


def new_cluster(stack: Stack, token: str, **columns: object) -> str:
    name = f"acme-{uuid4().hex[:8]}"
    organization = stack.call("POST", "/api/orgs/create", {"name": name}, token)
    body = {"organization_id": organization["id"], "name": "gpus", **columns}
    return str(stack.call("POST", "/api/clusters", body, token)["id"])


def submit(stack: Stack, token: str, cluster: str, **columns: object) -> str:
    needs = {"required_cpu": 1, "required_ram": 1024, "required_gpu": 1, "priority": "HIGH"}
    body = {"cluster_id": cluster, "name": "training", "image": "busybox", **needs} | columns
    return f"/api/deployments/{stack.call('POST', '/api/deployments', body, token)['id']}"


def test_each_service_is_healthy_and_none_was_started_again(stack: Stack):
    states = stack.states()
    assert set(states) == set(stack.compose("config", "--services").decode().split())
    assert states["migrate"]["State"]["ExitCode"] == 0
    assert {name: each["RestartCount"] for name, each in states.items()} == dict.fromkeys(states, 0)


def test_no_process_of_the_platform_has_rights_of_root(stack: Stack):
    for service in ("web", "worker", "runtimes", "timer"):
        assert stack.compose("exec", "-T", service, "id", "-u").strip() == b"10001"


def test_a_deployment_of_a_new_user_runs_through(stack: Stack):
    token = logged_in(stack)
    cluster = new_cluster(stack, token, total_cpu=8, total_ram=32768, total_gpu=2)
    path = submit(stack, token, cluster, simulated_runtime_s=1)
    assert stack.wait_for(path, token, "status", "COMPLETED")["exit_code"] == 0


def test_pages_come_with_their_styles(stack: Stack):
    page = stack.call("GET", "/admin/login/")
    styles = [
        part.split('"')[0] for part in page.split('href="')[1:] if ".css" in part.split('"')[0]
    ]
    assert styles
    for style in styles:
        assert "{" in stack.call("GET", style)
    assert "swagger" in stack.call("GET", "/swagger/").lower()


def test_a_backup_of_the_running_platform_comes_back(stack: Stack):
    """As docs/how-to/back-up.md says, with all processes of the platform stopped meanwhile."""
    token = logged_in(stack)
    cluster = new_cluster(stack, token, total_cpu=8, total_ram=32768, total_gpu=2)
    path = submit(stack, token, cluster, simulated_runtime_s=1)
    stack.wait_for(path, token, "status", "COMPLETED")
    file = stack.folder / "backup"
    file.write_bytes(stack.compose("exec", "-T", "web", "python", "manage.py", "backup", "-"))
    stack.call("DELETE", f"/api/clusters/{cluster}?force=true", token=token)
    processes = ("web", "worker", "runtimes", "timer")
    stack.compose("stop", *processes)
    restore = ("python", "web", "manage.py", "restore", "--replace", "-")
    stack.compose("run", "--rm", "-T", "--entrypoint", *restore, stdin=file.read_bytes())
    stack.compose("start", *processes)
    stack.wait_until_healthy()
    assert stack.call("GET", path, token=token)["status"] == "COMPLETED"


def test_it_goes_on_after_all_of_it_was_killed(stack: Stack):
    token = logged_in(stack)
    cluster = new_cluster(stack, token, total_cpu=8, total_ram=32768, total_gpu=2)
    path = submit(stack, token, cluster, simulated_runtime_s=600)
    stack.wait_for(path, token, "status", "RUNNING")
    stack.compose("kill")
    stack.compose("up", "--detach", "--no-build")
    stack.wait_until_healthy()
    assert stack.call("GET", path, token=token)["status"] == "RUNNING"
    later = submit(stack, token, cluster, simulated_runtime_s=1)
    stack.wait_for(later, token, "status", "COMPLETED")


def test_what_is_submitted_runs_on_the_engine_of_this_machine(stack: Stack):
    """As docs/how-to/attach-docker.md says, with the engine that runs the platform itself."""
    stack.mount_socket()
    stack.compose("exec", "-T", "web", "test", "!", "-e", "/var/run/docker.sock")
    token = logged_in(stack)
    cluster = new_cluster(stack, token, runtime="docker")
    attach = ("exec", "-T", "web", "python", "manage.py", "attach_docker")
    stack.compose(*attach, cluster, "gpu-0", "unix:///var/run/docker.sock")
    program = {"command": ["python", "-c", "print(6 * 7)"], "required_gpu": 0, "required_ram": 64}
    path = submit(stack, token, cluster, image="python:3.11-slim", **program)
    stack.wait_for(path, token, "status", "COMPLETED")
    assert stack.call("GET", f"{path}/logs", token=token) == "42\n"


def test_a_program_that_is_no_process_of_the_platform_is_refused(stack: Stack):
    refused = subprocess.run(
        [
            "docker",
            "--host",
            stack.docker_host,
            "run",
            "--rm",
            "--network=none",
            "mlops-platform",
            "web2",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "{web,worker,runtimes,timer}" in refused.stderr
    assert "Traceback" not in refused.stderr
