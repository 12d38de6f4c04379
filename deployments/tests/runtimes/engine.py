"""A real Docker engine to test with: the one at DOCKER_HOST, or one of the tests' own.

Its image is busybox, imported from this machine's, so that no registry is needed.
"""

import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from deployments.runtimes.base import Access
from deployments.tests.runtimes.certificates import Authority, Pair

BUSYBOX = Path("/bin/busybox")
IMAGE = "mlops-platform-tests/busybox:1"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class TlsAccess:
    """The same engine over TCP, which lets in only who shows the authority's certificate."""

    url: str
    authority: Authority
    client: Pair


@dataclass(frozen=True, slots=True)
class DockerEngine:
    access: Access
    tls: TlsAccess | None  # None at DOCKER_HOST
    client: Any  # docker.APIClient, to look at what the runtime has made


def give_up(why: str) -> None:
    """A person may do without an engine; continuous integration would only seem to have tried."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[DockerEngine]:
    given = os.environ.get("DOCKER_HOST")
    with ExitStack() as until_the_end:
        if given:
            tls = None
        else:
            given, tls = until_the_end.enter_context(own_engine())
        client: Any = docker.APIClient(base_url=given, timeout=60)
        until_the_end.callback(client.close)
        repository, _, tag = IMAGE.partition(":")
        client.import_image_from_data(root_file_system(), repository, tag)
        until_the_end.callback(client.remove_image, IMAGE, force=True)
        yield DockerEngine(Access(given), tls, client)


@contextmanager
def own_engine() -> Iterator[tuple[str, TlsAccess]]:
    with ExitStack() as until_the_end:
        folder = Path(tempfile.mkdtemp(prefix="mlops-docker-"))
        until_the_end.callback(_clear_away, folder)
        logs = folder / "engine.log"
        (folder / "containerd.toml").write_text(
            f'version = 2\nroot = "{folder}/containerd"\nstate = "{folder}/run"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{folder}/containerd.sock"\n'
        )
        (folder / "daemon.json").write_text("{}")  # none of this machine's own settings
        tls, options = _tls(folder)
        containerd = until_the_end.enter_context(
            _program(logs, "containerd", "--config", f"{folder}/containerd.toml")
        )
        _wait_for(folder / "containerd.sock", containerd, logs)
        dockerd = until_the_end.enter_context(
            _program(
                logs,
                "dockerd",
                *(f"--config-file={folder}/daemon.json", f"--containerd={folder}/containerd.sock"),
                *(f"--data-root={folder}/data", f"--exec-root={folder}/exec"),
                *(f"--pidfile={folder}/docker.pid", "--storage-driver=vfs", "--bridge=none"),
                *("--iptables=false", "--ip6tables=false", "--ip-forward=false"),
                *("-H", f"unix://{folder}/docker.sock", *options),
            )
        )
        _wait_for(folder / "docker.sock", dockerd, logs)
        yield f"unix://{folder}/docker.sock", tls


def _tls(folder: Path) -> tuple[TlsAccess, list[str]]:
    authority = Authority("the engine's authority")
    server, client = authority.pair("127.0.0.1"), authority.pair("control plane")
    for name, text in (("ca", authority.pem), ("cert", server.cert), ("key", server.key)):
        (folder / f"{name}.pem").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    options = ["-H", url, "--tlsverify", f"--tlscacert={folder}/ca.pem"]
    options += [f"--tlscert={folder}/cert.pem", f"--tlskey={folder}/key.pem"]
    return TlsAccess(url, authority, client), options


@contextmanager
def _program(logs: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """It ends with the block, and with this process should that be killed."""
    with logs.open("ab") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(path: Path, process: "subprocess.Popen[bytes]", logs: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not _answers(path):
        if process.poll() is not None or time.monotonic() > deadline:
            give_up(f"The Docker engine does not start here: {_last_line(logs)}")
        time.sleep(0.05)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _last_line(logs: Path) -> str:
    return (logs.read_text(errors="replace").splitlines() or [""])[-1]


def _clear_away(folder: Path) -> None:
    """An engine that was killed leaves mounts behind."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in reversed([mount for mount in mounts if mount.startswith(f"{folder}/")]):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def root_file_system() -> bytes:
    """A root file system as a tar: busybox, and a link to it for each of its programs."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, check=True, text=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("run", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox")
        for applet in set(applets.stdout.split()) - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()
