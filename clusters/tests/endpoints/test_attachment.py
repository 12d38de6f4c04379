"""Checks of a Docker engine or an API server before it is attached."""

import socket
from functools import partial
from ipaddress import ip_network

import pytest

from clusters.endpoints.attachment import BadEndpoint, docker_endpoint, kubernetes_endpoint
from clusters.tests.endpoints.pki import kubeconfig, pem
from clusters.tests.endpoints.resolver import getaddrinfo

NAMES = {
    "gpu-1.example.org": ["10.0.0.5"],
    "two.example.org": ["10.0.0.5", "127.0.0.1"],
    "meta.example.org": ["169.254.169.254"],
}


@pytest.fixture(autouse=True)
def _resolver(monkeypatch):
    """No test uses the real resolver."""
    monkeypatch.setattr(socket, "getaddrinfo", partial(getaddrinfo, NAMES))


def docker(url, *, trusted=False, **fields):
    return docker_endpoint(pem().body(url=url, **fields), trusted=trusted)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("tcp://10.0.0.5:2376", "tcp://10.0.0.5:2376"),
        ("tcp://10.0.0.5:2376/", "tcp://10.0.0.5:2376"),
        ("tcp://gpu-1.example.org:2376", "tcp://gpu-1.example.org:2376"),
        ("tcp://[fd12:3456::9]:2376", "tcp://[fd12:3456::9]:2376"),
    ],
)
def test_a_tenant_attaches_by_tls(url, kept):
    attached = docker(url)
    assert (attached.url, attached.trusted) == (kept, False)
    assert attached.secrets == pem()._asdict()
    assert "PRIVATE" not in repr(attached)


OPERATORS = "Only an operator may attach unix:// and ssh://"
BAD_URLS = [
    ("unix:///var/run/docker.sock", OPERATORS),
    ("ssh://root@10.0.0.5", OPERATORS),
    ("http://10.0.0.5:2375", "Give tcp://host:port."),
    ("npipe:////./pipe/docker", "Give tcp://host:port."),
    ("10.0.0.5:2376", "Give tcp://host:port."),
    ("tcp://10.0.0.5", "Give tcp://host:port."),
    ("tcp://10.0.0.5:0", "It has no host"),
    ("tcp://10.0.0.5:2376/path", "Give tcp://host:port."),
    ("tcp://10.0.0.5:2376?x=1", "It must not have a query"),
    ("tcp://10.0.0.5:2376#x", "It must not have a query"),
    ("tcp://10.0.0.5:99999", "It is no URL."),
    ("tcp://[::1:2376", "It is no URL."),
    ("tcp://:2376", "It has no host"),
    ("tcp://a b:2376", "visible ASCII"),
    ("tcp://tök.example:2376", "visible ASCII"),
    ("tcp://10.0.0.5:2376\n", "visible ASCII"),
    ("tcp://" + "a" * 300 + ":2376", "at most 300"),
    ("tcp://ada:hunter2@10.0.0.5:2376", "It must not have a user name or a password."),
    ("tcp://ada@10.0.0.5:2376", "It must not have a user name or a password."),
    ("tcp://@10.0.0.5:2376", "It must not have a user name or a password."),
    ("tcp://fe80::1%eth0:2376", "It is no URL."),
    ("tcp://[fe80::1%25eth0]:2376", "It has no host"),
    ("tcp://127.0.0.1:2376", "127.0.0.1 is a loopback address, where only an operator may attach."),
    ("tcp://[::1]:2376", "::1 is a loopback address"),
    ("tcp://169.254.169.254:80", "169.254.169.254 is a metadata address"),
    ("tcp://meta.example.org:80", "meta.example.org does not resolve, or leads to where only"),
    ("tcp://two.example.org:80", "two.example.org does not resolve, or leads to where only"),
    ("tcp://nowhere.example.org:80", "nowhere.example.org does not resolve, or leads to where"),
]


@pytest.mark.parametrize(("url", "sentence"), BAD_URLS)
def test_where_a_tenant_may_not_attach(url, sentence):
    with pytest.raises(BadEndpoint) as raised:
        docker(url)
    assert list(raised.value.faults) == ["url"]
    assert sentence in raised.value.faults["url"]
    assert "hunter2" not in str(raised.value)


def test_a_tenant_does_not_learn_which_names_the_platform_can_resolve():
    """Nor where they lead."""
    said = set()
    for name in ("meta.example.org", "two.example.org", "nowhere.example.org"):
        with pytest.raises(BadEndpoint) as raised:
            docker(f"tcp://{name}:80")
        said.add(raised.value.faults["url"].replace(name, "NAME"))
    assert said == {"NAME does not resolve, or leads to where only an operator may attach."}


@pytest.mark.parametrize("missing", [["ca"], ["cert"], ["key"], ["ca", "cert", "key"]])
def test_a_tenant_gives_all_of_tls(missing):
    with pytest.raises(BadEndpoint) as raised:
        docker("tcp://10.0.0.5:2376", **dict.fromkeys(missing, ""))
    assert raised.value.faults == dict.fromkeys(missing, "This field is required.")


def test_a_wrong_certificate_is_an_error_at_its_field():
    with pytest.raises(BadEndpoint) as raised:
        docker("tcp://10.0.0.5:2376", key=pem("two").key)
    assert raised.value.faults == {"key": "It is not the certificate's key."}


@pytest.mark.parametrize(
    "url",
    [
        "unix:///var/run/docker.sock",
        "ssh://10.0.0.5",
        "ssh://ops@10.0.0.5",
        "ssh://ops@10.0.0.5:2222",
        "tcp://127.0.0.1:2375",
        "tcp://nowhere.example.org:2375",
    ],
)
def test_an_operator_attaches_anything(url):
    attached = docker_endpoint({"url": url}, trusted=True)
    assert (attached.url, attached.trusted, attached.secrets["key"]) == (url, True, "")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"url": "ssh://ops:hunter2@10.0.0.5"}, "url"),
        ({"url": "ssh://-oProxyCommand=x@10.0.0.5"}, "url"),
        ({"url": "ssh://-oProxyCommand=x"}, "url"),
        ({"url": "ssh://10.0.0.5/path"}, "url"),
        ({"url": "unix://var/run/docker.sock"}, "url"),
        ({"url": "http://10.0.0.5"}, "url"),
        ({"url": "tcp://ops@10.0.0.5:2375"}, "url"),
        (pem().body(url="unix:///var/run/docker.sock"), "url"),
        (pem().body(ca=""), "ca"),
        (pem().body(key=""), "key"),
    ],
)
def test_an_operator_gets_an_error_for_an_invalid_engine(given, field):
    with pytest.raises(BadEndpoint) as raised:
        docker_endpoint(given, trusted=True)
    assert list(raised.value.faults) == [field]
    assert "hunter2" not in str(raised.value)


def server(url):
    return kubeconfig(cluster={"server": url})


@pytest.mark.parametrize(
    ("given", "of_context", "namespace"),
    [("", None, "default"), ("", "ml", "ml"), ("mine", "ml", "mine"), ("mine", None, "mine")],
)
def test_the_namespace_is_the_one_given_or_the_contexts(given, of_context, namespace):
    attached = kubernetes_endpoint(kubeconfig(context={"namespace": of_context}), given)
    assert (attached.url, attached.namespace) == ("https://10.0.0.9:6443", namespace)
    assert attached.secrets["token"] == "kube-token-hunter2"
    assert "hunter2" not in repr(attached)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (server("http://10.0.0.9"), "server of the cluster: Give https://host:port; plain HTTP"),
        (server("https://ada:hunter2@10.0.0.9"), "server of the cluster: It must not have a user"),
        (server("https://10.0.0.9?x"), "server of the cluster: It must not have a query"),
        (server("https://"), "server of the cluster: It has no host"),
        (kubeconfig(user={"exec": {"command": "x"}}), "exec of the user names a program to run"),
        (kubeconfig(context={"namespace": "../x"}), "namespace of the context is no DNS label."),
    ],
)
def test_a_kubeconfig_that_no_user_may_attach(text, sentence, trusted):
    with pytest.raises(BadEndpoint) as raised:
        kubernetes_endpoint(text, trusted=trusted)
    assert raised.value.faults["kubeconfig"].startswith(sentence)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:6443", "https://[::1]", "https://meta.example.org", "https://none"]
)
def test_only_an_operator_attaches_an_api_server_here(url):
    with pytest.raises(BadEndpoint, match="server of the cluster: "):
        kubernetes_endpoint(server(url))
    assert kubernetes_endpoint(server(url), trusted=True).url == url


def test_an_operator_may_attach_outside_the_ranges_of_tenants(settings):
    settings.TENANT_ENDPOINT_RANGES = (ip_network("10.20.0.0/16"),)
    for url in ("tcp://10.0.0.5:2376", "tcp://gpu-1.example.org:2376"):
        with pytest.raises(BadEndpoint, match="where only an operator may attach"):
            docker(url)
        assert docker(url, trusted=True).url == url
    assert docker("tcp://10.20.3.4:2376").url == "tcp://10.20.3.4:2376"
