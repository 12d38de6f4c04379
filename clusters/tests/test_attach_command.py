"""`manage.py attach_docker`"""

from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from clusters.models import Node
from clusters.tests.attached import secrets
from clusters.tests.endpoints.pki import pem

SOCKET = "unix:///var/run/docker.sock"


def attach(cluster, *arguments):
    call_command("attach_docker", str(cluster.pk), *arguments)


def test_this_very_host_is_attached(docker, capsys):
    attach(docker, "local", SOCKET, "--cpu", "2.5", "--gpu", "1")
    node = Node.objects.get()
    assert node.endpoint is not None
    assert (node.endpoint.url, node.endpoint.trusted) == (SOCKET, True)
    assert (node.cpu_milli, node.ram_mib, node.gpu) == (2500, 0, 1)
    assert node.discovered == ["ram_mib"]
    shown = f"local is attached as {node.pk}; it is ready once it has answered.\n"
    assert capsys.readouterr().out == shown


def test_certificates_are_read_from_files(docker, tmp_path):
    options = []
    for name, text in pem()._asdict().items():
        (tmp_path / name).write_text(text)
        options += [f"--{name}", str(tmp_path / name)]
    attach(docker, "far", "tcp://127.0.0.1:2376", *options)
    assert secrets() == pem()._asdict()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x", "http://10.0.0.5"], "url: Give tcp://host:port, unix:///path or ssh://user@host."),
        (["", SOCKET], "name: This field may not be blank."),
        (["x", SOCKET, "--cpu", "0"], "cpu: Must be 0.001 or more."),
        (["x", SOCKET, "--gpu", "-1"], "gpu: Ensure this value is greater than or equal to 0."),
        (["x", "tcp://10.0.0.5:1", "--ca", "/nowhere"], "--ca: /nowhere cannot be read."),
        (["x", "tcp://10.0.0.5:1", "--ca", "/dev/null"], "ca: This field may not be blank."),
    ],
)
def test_the_command_reports_why_an_engine_cannot_be_attached(docker, arguments, said):
    with pytest.raises(CommandError) as raised:
        attach(docker, *arguments)
    assert str(raised.value) == said
    assert not Node.objects.exists()


def test_only_a_docker_cluster_takes_an_engine(cluster, kube):
    refusals = ((cluster, "endpoint: Only in a docker"), (kube, "The nodes of a kubernetes"))
    for each, said in refusals:
        with pytest.raises(CommandError, match=said):
            attach(each, "local", SOCKET)
    assert not Node.objects.exists()


@pytest.mark.django_db
def test_an_unknown_cluster_is_an_error():
    with pytest.raises(CommandError, match="There is no cluster"):
        call_command("attach_docker", str(uuid4()), "x", SOCKET)
    with pytest.raises(CommandError, match="invalid UUID value"):
        call_command("attach_docker", "x", "x", SOCKET)
