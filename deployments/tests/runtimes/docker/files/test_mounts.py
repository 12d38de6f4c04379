"""What containers mount, on a real engine: what one writes the next reads, and no more."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from clusters.api.volumes.serializers import NewVolumeSerializer
from deployments.runtimes.base import Code, Container, RefusedError, Sandbox
from deployments.runtimes.docker import containers
from deployments.runtimes.docker.files.mounts import mounts_of, own_volume
from deployments.runtimes.mounts import Mount
from deployments.tests.runtimes.docker.engine import IMAGE
from deployments.tests.runtimes.harness import ended, key_of, problem_of, seen

pytestmark = pytest.mark.docker

GIVEN = "mlops-platform-tests/given:1"
DATA = Mount("data", "DOCKER_VOLUME", "/data")


@pytest.fixture
def folder():
    """A folder of the node, with content of the operator's."""
    with tempfile.TemporaryDirectory(prefix="mlops-mounts-") as path:
        for name in ("sets/a", "sets/b"):
            (Path(path) / name).mkdir(parents=True)
            (Path(path) / name / "what").write_text(f"{name}\n")
        yield Path(path)


@pytest.fixture
def started():
    """The launch specs of the containers so far."""
    return []


@pytest.fixture
def run(busybox, docker_runtime, started):
    """`run(line, mounts)`: what a container says that runs this line."""
    client = busybox.engine.client

    def run(line, *mounts, **given):
        spec = busybox.launch_spec(busybox.shell(line))
        spec = replace(spec, mounts=mounts, **given)
        docker_runtime.start(spec)
        ended(docker_runtime, spec)
        started.append(spec)
        return b"".join(docker_runtime.logs(key_of(spec))).decode().splitlines()

    yield run
    busybox.clear_away()
    for volume in client.volumes()["Volumes"] or ():
        if volume["Name"].startswith("mlops-"):
            client.remove_volume(volume["Name"], force=True)


def folder_at(path, **given):
    return Mount("sets", "HOST_PATH", "/data", {"path": str(path)}, **given)


def test_what_one_job_writes_the_next_reads(run):
    assert run("echo saved > /data/file && cat /data/file", DATA) == ["saved"]
    assert run("cat /data/file", DATA) == ["saved"]
    assert run("cat /elsewhere/file", replace(DATA, path="/elsewhere")) == ["saved"]


def test_a_volume_of_another_cluster_or_name_is_another(run, busybox):
    run("echo ours > /data/file", DATA)
    assert run("ls /data", replace(DATA, volume="other")) == []
    names = {each["Name"] for each in busybox.engine.client.volumes()["Volumes"]}
    assert {own_volume("ours", "data"), own_volume("ours", "other")} <= names


@pytest.mark.parametrize("user", ["", "1000:1000"])
def test_the_kernel_refuses_to_write_what_is_read_only(run, folder, user):
    run("echo saved > /data/file", DATA)
    folder.chmod(0o777)
    given = {"container": Container(user=user)}
    for mount in (replace(DATA, read_only=True), folder_at(folder, read_only=True)):
        said = run("touch /data/new 2>&1; mkdir /data/d 2>&1; ls /data", mount, **given)
        assert [line.rpartition(": ")[2] for line in said[:2]] == ["Read-only file system"] * 2
        assert "new" not in said
    assert [each.name for each in folder.iterdir()] == ["sets"]


def test_a_folder_of_the_node_is_read_and_written(run, folder):
    assert run("cat /data/sets/a/what; echo new > /data/new", folder_at(folder)) == ["sets/a"]
    assert (folder / "new").read_text() == "new\n"


def test_a_sub_path_shows_that_folder_alone(run, folder):
    mount = folder_at(folder, sub_path="sets/b", read_only=True, never_written=True)
    assert run("ls /data; cat /data/what; ls /data/..", mount)[:2] == ["what", "sets/b"]


@pytest.mark.parametrize(
    "mount",
    [
        replace(DATA, sub_path="a"),
        Mount("sets", "HOST_PATH", "/data", {"path": "/srv/a"}, sub_path="a"),
        Mount("sets", "HOST_PATH", "/data", {"path": "/srv/a"}, sub_path="a", read_only=True),
        Mount("sets", "DOCKER_VOLUME", "/data", sub_path="a", read_only=True, never_written=True),
    ],
)
def test_a_link_that_a_job_has_made_is_never_followed_out_of_a_volume(run, busybox, mount):
    """An engine from 26 on sees to that, with what it is asked for; an earlier one cannot."""
    [asked] = mounts_of([mount], "ours", "1.45")
    assert asked["Type"] == "volume"
    assert asked["VolumeOptions"]["Subpath"] == "a"
    version = busybox.engine.client.version()["ApiVersion"]
    if version.split(".") < ["1", "45"]:
        with pytest.raises(RefusedError, match="needs Docker Engine 26") as refusal:
            run("true", mount)
        assert refusal.value.problem.code == Code.REFUSED


def test_links_of_a_job_lead_to_its_own_container(run, folder):
    secret = folder.parent / f"{folder.name}-secret"
    secret.write_text("of the host")
    try:
        assert run(f"ln -s {secret} /data/link; cat /data/link", folder_at(folder)) == [
            "cat: can't open '/data/link': No such file or directory"
        ]
    finally:
        secret.unlink()


@pytest.mark.parametrize(
    "mount", [folder_at("/no/such/folder"), replace(folder_at("/"), source={"path": "/none"})]
)
def test_a_folder_that_is_not_there_is_said_and_not_made(run, mount):
    with pytest.raises(RefusedError, match="bind source path does not exist"):
        run("true", mount)
    assert not Path("/no/such").exists()


def test_a_file_server_that_is_not_there_is_said(busybox, docker_runtime):
    source = {"server": "127.0.0.1", "path": "/export"}
    spec = busybox.launch_spec(busybox.sleeps())
    spec = replace(spec, mounts=[Mount("nas", "NFS", "/data", source)])
    docker_runtime.start(spec)
    [status] = seen(docker_runtime, spec)
    assert problem_of(status) == Code.REFUSED
    assert "error while mounting volume" in str(status.problem)


def test_a_file_server_is_mounted_as_the_operator_offers_it():
    source = {"server": "nas.example.org", "path": "/export"}
    mount = Mount("nas", "NFS", "/data", source, read_only=True, never_written=True, sub_path="a")
    [asked] = mounts_of([mount], "ours", "1.41")
    options = asked["VolumeOptions"]["DriverConfig"]["Options"]
    assert options["device"] == ":/export/a"
    assert options["o"].split(",") == [
        "addr=nas.example.org",
        "nfsvers=4",
        "nosuid",
        "nodev",
        "ro",
    ]
    [other] = mounts_of([replace(mount, sub_path="")], "ours", "1.41")
    assert other["Source"] != asked["Source"]  # the engine keeps the options of the first


@pytest.mark.parametrize("kind", ["NFS", "HOST_PATH"])
def test_no_volume_of_an_admin_is_the_one_through_which_an_engine_mounts_an_operators_folder(kind):
    source = {"server": "nas.example.org", "path": "/export"}
    mount = Mount("nas", kind, "/data", source, read_only=True, never_written=True, sub_path="a")
    [asked] = mounts_of([mount], "ours", "1.45")
    name = asked["Source"].removeprefix(own_volume("ours", ""))
    offered = NewVolumeSerializer(data={"name": name, "kind": "DOCKER_VOLUME"})
    assert not offered.is_valid()
    assert list(offered.errors) == ["name"]


def test_a_volume_may_be_at_tmp_where_the_root_is_read_only(run):
    mount = replace(DATA, path="/tmp")
    sandbox = Sandbox(read_only_root=True, network="none")
    assert run("echo kept > /tmp/file; cat /tmp/file", mount, sandbox=sandbox) == ["kept"]
    assert run("cat /tmp/file", mount, sandbox=sandbox) == ["kept"]


def test_removing_a_container_leaves_its_volumes(run, started, docker_runtime, busybox):
    run("echo saved > /data/file", DATA)
    docker_runtime.remove(key_of(started[-1]))
    assert busybox.engine.client.inspect_volume(own_volume("ours", "data"))
    assert run("cat /data/file", DATA) == ["saved"]


def test_a_container_has_no_host_folder_but_what_is_offered(run, started, busybox, folder):
    run("true", folder_at(folder, read_only=True))
    inspected = busybox.engine.client.inspect_container(containers.name(key_of(started[-1])))
    [mount] = inspected["Mounts"]
    assert (mount["Source"], mount["Destination"], mount["RW"]) == (str(folder), "/data", False)
    assert mount["Propagation"] == "rprivate"
    assert "docker.sock" not in json.dumps(inspected["HostConfig"])


@pytest.mark.parametrize(("folder", "writes"), [("/given", True), ("/data", False)])
def test_a_new_volume_has_the_owner_of_the_folder_that_the_image_has_there(
    run, busybox, docker_runtime, folder, writes
):
    """A user's program can write where the image has given that user the folder."""
    client = busybox.engine.client
    made = client.create_container(IMAGE, ["sh", "-c", "mkdir /given && chown 1000:1000 /given"])
    try:
        client.start(made)
        client.wait(made)
        client.commit(made, "mlops-platform-tests/given", "1")
    finally:
        client.remove_container(made, force=True)
    work = replace(busybox.shell("touch $FOLDER/file && echo written"), image=GIVEN)
    spec = busybox.launch_spec(work)
    mounts = [replace(DATA, path=folder)]
    spec = replace(
        spec, mounts=mounts, container=Container(user="1000:1000"), env={"FOLDER": folder}
    )
    docker_runtime.start(spec)
    ended(docker_runtime, spec)
    said = b"".join(docker_runtime.logs(key_of(spec))).decode()
    assert ("written" in said) is writes, said
    docker_runtime.remove(key_of(spec))
    client.remove_image(GIVEN, force=True)
