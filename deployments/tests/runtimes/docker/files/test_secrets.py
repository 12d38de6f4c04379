"""Secrets in a container: who may read their files, and what the engine shows of them."""

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest

from deployments.runtimes.base import Container, Key, LaunchSpec, Sandbox, Secrets
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.busybox import Busybox
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.harness import Work, ended, key_of, seen, wait_until

pytestmark = pytest.mark.docker

VALUE = "hunter2-quite-unlikely"
FILES = Secrets(files={"hub/token": VALUE, "plain": f"{VALUE}\n"})
LOOK = "stat -c '%u %a %n' /run/secrets /run/secrets/hub /run/secrets/hub/token; id -u; "
READ = "cat /run/secrets/hub/token /run/secrets/plain"


def said(runtime: DockerRuntime, spec: LaunchSpec) -> list[str]:
    ended(runtime, spec)
    return b"".join(runtime.logs(key_of(spec))).decode().splitlines()


def volumes(busybox: Busybox) -> set[str]:
    return {each["Name"] for each in busybox.engine.client.volumes()["Volumes"] or ()}


@pytest.mark.parametrize(("user", "uid"), [("", "0"), ("1234", "1234"), ("7:8", "7")])
def test_only_the_containers_user_may_read_a_file(busybox, docker_runtime, user, uid):
    container = Container(user=user)
    spec = busybox.launch_spec(busybox.shell(LOOK + READ), secrets=FILES, container=container)
    docker_runtime.start(spec)
    folder, inner, file, me, *content = said(docker_runtime, spec)
    assert folder.split()[1:] == ["755", "/run/secrets"]
    assert inner == "0 755 /run/secrets/hub"
    assert file == f"{uid} 400 /run/secrets/hub/token"
    assert me == uid
    assert content == [VALUE + VALUE]


LINK = {"etc/passwd": "../lib/users"}
CHAIN = {"etc/passwd": "users", "etc/users": "/lib/users"}


@pytest.mark.parametrize(
    ("user", "links", "uid"),
    [
        ("ada", {}, "1815"),
        ("42:ada", {}, "42"),
        ("ada:users", {}, "1815"),
        ("ada", LINK, "1815"),
        ("ada", CHAIN, "1815"),
    ],
)
def test_the_user_of_the_image_is_looked_up_in_the_image(busybox, docker_runtime, user, links, uid):
    client = busybox.engine.client
    made = client.create_container_from_config({"Image": IMAGE, "Cmd": ["true"]}, "base-of-ada")
    try:
        users = b"root:x:0:0::/:/bin/sh\nada:x:1815:1815::/:/bin/sh\n"
        groups = b"root:x:0:\nada:x:1815:\nusers:x:100:\n"
        files = {"etc/group": groups, "etc/passwd": users, "lib/users": users, **links}
        client.put_archive(made["Id"], "/", archive_of(files))
        client.commit(made["Id"], "of-ada", "1", changes=[f"USER {user}"])
    finally:
        client.remove_container(made["Id"])
    try:
        work = Work("of-ada:1", ("sh", "-c"), (LOOK + READ,))
        spec = busybox.launch_spec(work, secrets=FILES)
        docker_runtime.start(spec)
        *_, file, me, content = said(docker_runtime, spec)
        assert file == f"{uid} 400 /run/secrets/hub/token"
        assert (me, content) == (uid, VALUE + VALUE)
        docker_runtime.remove(key_of(spec))
    finally:
        client.remove_image("of-ada:1", force=True)


def archive_of(files: Mapping[str, bytes | str]) -> bytes:
    """With these files; of a link the text says where it leads to."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def test_files_are_there_under_a_read_only_root(busybox, docker_runtime):
    sandbox = Sandbox(network="none", read_only_root=True)
    spec = busybox.launch_spec(busybox.shell(READ), secrets=FILES, sandbox=sandbox)
    docker_runtime.start(spec)
    assert said(docker_runtime, spec) == [VALUE + VALUE]


def test_the_engine_shows_nothing_of_a_file(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), secrets=FILES)
    docker_runtime.start(spec)
    client = busybox.engine.client
    container = client.inspect_container(containers.name(key_of(spec)))
    shown = json.dumps([container, client.containers(all=True), client.volumes()])
    shown += json.dumps(client.diff(container["Id"]) or [])
    assert VALUE not in shown
    assert VALUE.encode() not in b"".join(client.export(container["Id"]))


def test_the_engine_shows_a_variable_which_is_why_files_exist(busybox, docker_runtime):
    spec = busybox.launch_spec(busybox.sleeps(), secrets=Secrets({"TOKEN": VALUE}))
    docker_runtime.start(spec)
    container = busybox.engine.client.inspect_container(containers.name(key_of(spec)))
    assert f"TOKEN={VALUE}" in container["Config"]["Env"]
    assert not container["HostConfig"].get("Mounts")


def test_the_files_go_with_the_container(busybox, docker_runtime):
    before = volumes(busybox)
    spec = busybox.launch_spec(busybox.exits(0), secrets=FILES)
    docker_runtime.start(spec)
    ended(docker_runtime, spec)
    assert len(volumes(busybox) - before) == 1
    docker_runtime.remove(key_of(spec))
    assert volumes(busybox) == before


def test_a_worker_that_is_killed_before_the_start_has_the_next_one_write_the_files(
    busybox, docker_runtime, monkeypatch
):
    spec = busybox.launch_spec(busybox.shell(READ), secrets=FILES)
    with monkeypatch.context() as killed:
        killed.setattr(DockerRuntime, "_start", lambda self, container_id: None)
        docker_runtime.start(spec)
    assert not seen(docker_runtime, spec)[0].begun
    newer = Secrets(files={"hub/token": "newer ", "plain": "too"})
    docker_runtime.start(
        busybox.launch_spec(busybox.shell(READ), secrets=newer, deployment_id=spec.deployment_id)
    )
    assert said(docker_runtime, spec) == ["newer too"]


SHOW = "echo $T; cat /run/secrets/t; echo; sleep 600"


def version(number: int) -> Secrets:
    return Secrets({"T": f"v{number}"}, {"t": f"v{number}"})


def has_said(runtime: DockerRuntime, key: Key) -> bool | None:
    return b"".join(runtime.logs(key)).count(b"v") == 2 or None


@pytest.mark.parametrize(("started", "expected"), [(0, "v2"), (1, "v1")])
def test_replicas_start_with_one_version_though_a_worker_was_killed_before_a_rotation(
    busybox, docker_runtime, monkeypatch, started, expected
):
    """The newest one, unless a replica has started with the other before the worker was killed."""
    own, left = DockerRuntime._start, [started]

    def start(self, container_id):
        if left[0]:
            left[0] -= 1
            own(self, container_id)

    spec = busybox.launch_spec(busybox.shell(SHOW), secrets=version(1), replicas=2)
    with monkeypatch.context() as killed:
        killed.setattr(DockerRuntime, "_start", start)
        docker_runtime.start(spec)
    docker_runtime.start(replace(spec, secrets=version(2)))
    for replica in (0, 1):
        key = key_of(spec, replica)
        wait_until(partial(has_said, docker_runtime, key))
        assert b"".join(docker_runtime.logs(key)).decode().split() == [expected, expected]
