"""A Docker engine over ssh, with a script in place of the ssh program."""

import sys
from pathlib import Path

import pytest

from deployments.runtimes.base import Access, RuntimeUnavailable
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.harness import ended, key_of, watched

SCRIPT = """#!{python}
import os, socket, sys, threading
open({log!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
if {socket!r} is None:
    sys.exit("ada@engine.example: Permission denied (publickey).")
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
def send():
    while data := os.read(0, 65536):
        engine.sendall(data)
    engine.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while data := engine.recv(65536):
    os.write(1, data)
"""


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """`ssh(socket)` puts the stand-in on PATH, and gives the file of what it was called with."""

    def install(engine: str | None) -> Path:
        log = tmp_path / "calls"
        program = tmp_path / "ssh"
        program.write_text(
            SCRIPT.format(python=sys.executable, socket=engine, log=str(log)), "utf-8"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        return log

    return install


def connected(url: str = "ssh://ada@engine.example:2222", **more) -> DockerRuntime:
    return DockerRuntime(Access(url, **more), cluster_id="ours", node="node-1", timeout_s=10)


@pytest.mark.docker
def test_a_life_goes_as_it_does_over_the_socket(busybox, docker_engine, ssh):
    if not docker_engine.access.url.startswith("unix://"):
        pytest.skip("DOCKER_HOST is no socket.")
    calls = ssh(docker_engine.access.url.removeprefix("unix://"))
    runtime = connected()
    spec = busybox.launch_spec(busybox.says_three_lines())
    with watched(runtime) as heard:
        runtime.start(spec)
        assert ended(runtime, spec).exit_code == 0
        assert b"".join(runtime.logs(key_of(spec), follow=True)) == b"one\ntwo\nthree\n"
        runtime.remove(key_of(spec))
    assert spec.deployment_id in heard
    runtime.close()
    call = calls.read_text().splitlines()[0]
    assert "BatchMode=yes" in call
    assert call.endswith("-p 2222 -l ada -- engine.example docker system dial-stdio")


def test_the_error_has_sshs_message(ssh):
    ssh(None)
    with pytest.raises(RuntimeUnavailable, match="Permission denied"):
        connected().observe()


def test_without_the_ssh_program_the_endpoint_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeUnavailable, match="ssh"):
        connected().observe()


def test_ssh_is_not_called_for_a_forbidden_address(ssh):
    calls = ssh(None)
    with pytest.raises(RuntimeUnavailable, match="No connection may"):
        connected("ssh://ada@127.0.0.1", guard=lambda _: "No connection may go there.").observe()
    assert not calls.exists()


def test_ssh_gets_the_very_address_that_the_guard_checked(ssh):
    calls = ssh(None)
    with pytest.raises(RuntimeUnavailable):
        connected("ssh://ada@localhost", guard=lambda _: None).observe()
    call = calls.read_text()
    assert "HostKeyAlias=localhost" in call
    assert "HostName=127.0.0.1" in call or "HostName=::1" in call
