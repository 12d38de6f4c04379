"""Pulls of images: which credentials go where, and how a pull ends."""

import base64
import json

import pytest

from deployments.runtimes.base import (
    Access,
    Code,
    ImageDelayed,
    ImageMissing,
    RefusedError,
    Registry,
    RuntimeUnavailable,
)
from deployments.runtimes.docker import images
from deployments.runtimes.docker.client import Engine
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.runtimes.image_names import canonical
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.docker.registry import ImageRegistry
from deployments.tests.runtimes.harness import Work, ended, key_of, ready
from mlops_platform.tests.equipment.docker_engine import root_file_system


@pytest.fixture
def registry(docker_engine):
    if not docker_engine.access.url.startswith("unix://"):
        pytest.skip("DOCKER_HOST may not reach a registry on this machine.")
    with ImageRegistry(root_file_system(), "ada", "s3cret").serving() as registry:
        yield registry
        if docker_engine.client.images(registry.image):
            docker_engine.client.remove_image(registry.image, force=True)


def pulling(engine, *registries: Registry) -> DockerRuntime:
    return DockerRuntime(engine.access, cluster_id="ours", node="node-1", registries=registries)


@pytest.mark.docker
def test_an_image_that_was_missing_is_pulled_and_runs(busybox, docker_runtime, registry):
    runtime = pulling(busybox.engine, Registry(registry.host, "ada", "s3cret"))
    spec = busybox.launch_spec(Work(registry.image, ("sh", "-c", "echo hello")))
    with pytest.raises(ImageMissing):
        runtime.start(spec)
    assert runtime.observe([spec.deployment_id]) == []
    runtime.pull(spec.image)
    runtime.start(spec)
    ended(runtime, spec)
    assert b"".join(runtime.logs(key_of(spec))) == b"hello\n"
    docker_runtime.remove(key_of(spec))
    runtime.close()


@pytest.mark.docker
def test_a_replica_shows_the_digest_of_its_image_in_the_registry(
    busybox, docker_engine, docker_runtime, registry
):
    runtime = pulling(busybox.engine, Registry(registry.host, "ada", "s3cret"))
    runtime.pull(registry.image)
    [name] = docker_engine.client.inspect_image(registry.image)["RepoDigests"]
    sleeping = busybox.launch_spec(Work(registry.image, ("sleep", "600")))
    failing = busybox.launch_spec(Work(registry.image, ("sh", "-c", "exit 1")))
    for spec in (sleeping, failing):
        runtime.start(spec)
    [running] = ready(runtime, sleeping)
    assert name.endswith(running.image_digest)
    assert running.image_digest.startswith("sha256:")
    assert ended(runtime, failing).image_digest == running.image_digest
    for spec in (sleeping, failing):
        docker_runtime.remove(key_of(spec))
    runtime.close()


@pytest.mark.docker
def test_a_node_lists_its_images_now_and_then_and_after_each_pull(docker_engine, registry):
    runtime = pulling(docker_engine, Registry(registry.host, "ada", "s3cret"))
    before, again = (list(runtime.capacity()[0].images or ()) for _ in range(2))
    runtime.pull(registry.image)
    after = list(runtime.capacity()[0].images or ())
    [name] = docker_engine.client.inspect_image(registry.image)["RepoDigests"]
    assert canonical(IMAGE) in before
    assert again == []
    assert set(after) - set(before) == {canonical(registry.image), canonical(name)}
    runtime.close()


@pytest.mark.docker
def test_an_image_that_no_registry_gave_shows_its_own_id(busybox, docker_engine, docker_runtime):
    spec = busybox.launch_spec(Work(IMAGE, ("sleep",), ("600",)))
    docker_runtime.start(spec)
    [running] = ready(docker_runtime, spec)
    assert running.image_digest == docker_engine.client.inspect_image(IMAGE)["Id"]
    docker_runtime.remove(key_of(spec))


@pytest.mark.docker
@pytest.mark.parametrize("password", ["wrong-secret", None])
def test_an_image_is_refused_without_the_registrys_password(docker_engine, registry, password):
    known = [Registry(registry.host, "ada", password)] if password else []
    with pytest.raises(RefusedError) as refusal:
        pulling(docker_engine, *known).pull(registry.image)
    assert refusal.value.problem.code == Code.IMAGE_PULL_FAILED
    assert refusal.value.problem.message
    assert "wrong-secret" not in refusal.value.problem.message


@pytest.mark.docker
def test_credentials_of_a_docker_login_are_not_used(docker_engine, registry, tmp_path, monkeypatch):
    login = base64.b64encode(b"ada:s3cret").decode()
    config = {"auths": {registry.host: {"auth": login}}, "HttpHeaders": {"X-Secret": "s3cret"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with pytest.raises(RefusedError):
        pulling(docker_engine).pull(registry.image)


@pytest.mark.docker
def test_an_image_that_the_registry_does_not_have_is_refused(docker_engine, registry):
    runtime = pulling(docker_engine, Registry(registry.host, "ada", "s3cret"))
    with pytest.raises(RefusedError, match=r"not found|unknown") as refusal:
        runtime.pull(f"{registry.host}/team/nothing:1")
    assert refusal.value.problem.code == Code.IMAGE_PULL_FAILED


TOO_MANY = b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "authentication required: no"}]}'
PASSING = [(429, TOO_MANY), (500, b"{}"), (502, b"<html>"), (503, b"not found"), (504, b"")]


@pytest.mark.docker
@pytest.mark.parametrize("failure", PASSING, ids=lambda each: str(each[0]))
def test_an_error_of_the_registry_itself_is_no_reason_to_give_up(docker_engine, registry, failure):
    runtime = pulling(docker_engine, Registry(registry.host, "ada", "s3cret"))
    registry.fails_with = failure
    with pytest.raises(ImageDelayed):
        runtime.pull(registry.image)
    registry.fails_with = None
    runtime.pull(registry.image)
    assert docker_engine.client.images(registry.image)


@pytest.mark.docker
@pytest.mark.parametrize("host", ["not-found.denied.invalid", "127.0.0.1:1"])
def test_a_registry_that_does_not_answer_is_no_reason_to_give_up(docker_engine, host):
    with pytest.raises(ImageDelayed) as delay:
        pulling(docker_engine, Registry(host, "ada", "s3cret")).pull(f"{host}/not-found/denied:1")
    assert str(delay.value)
    assert "s3cret" not in str(delay.value)


@pytest.mark.docker
def test_a_pull_that_takes_too_long_is_given_up(docker_engine, registry):
    known = [Registry(registry.host, "ada", "s3cret")]
    with pytest.raises(ImageDelayed, match="more than 0 s"):
        images.pull(Engine(docker_engine.access, 10), registry.image, known, limit_s=0)


def test_a_pull_from_an_engine_that_is_away_is_unavailable():
    runtime = DockerRuntime(Access("unix:///nowhere"), cluster_id="ours", node="node-1")
    with pytest.raises(RuntimeUnavailable):
        runtime.pull("busybox:1")


HUB = Registry("docker.io", "hub", "x")
OTHER = Registry("registry.example.com", "other", "x")
TEAM = Registry("registry.example.com/team", "team", "x")
OLD_HUB = Registry("https://index.docker.io/v1/", "old hub", "x")


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", HUB),
        ("busybox:1.36", HUB),
        ("library/busybox@sha256:" + "0" * 64, HUB),
        ("docker.io/ada/train:1", HUB),
        ("registry.example.com/ada/train:1", OTHER),
        ("registry.example.com/team/train:1", TEAM),
        ("registry.example.com/teammate/train:1", OTHER),
        ("registry.example.com:5000/team/train:1", None),
        ("registry.example.com.evil.net/team/train", None),
        ("quay.io/registry.example.com/train", None),
    ],
)
def test_credentials_go_to_their_own_registry_only(image, registry):
    assert images.credentials(image, [HUB, OTHER, TEAM]) == registry


def test_docker_hub_has_its_old_names_too():
    assert images.credentials("busybox", [OLD_HUB]) == OLD_HUB
