"""The address policy for tenants' endpoints."""

import ipaddress
import socket
import threading
import time

import pytest

from clusters.endpoints import address_policy
from clusters.endpoints.address_policy import Unresolvable, refusal, resolve

REFUSED = [
    ("127.0.0.1", "a loopback address"),
    ("127.8.9.10", "a loopback address"),
    ("::1", "a loopback address"),
    ("::ffff:127.0.0.1", "a loopback address"),
    ("::127.0.0.1", "a loopback address"),
    ("2002:7f00:1::", "a loopback address"),
    ("64:ff9b::7f00:1", "a loopback address"),
    ("2001:db8::5efe:127.0.0.1", "a loopback address"),
    ("169.254.0.5", "a link-local address"),
    ("fe80::1", "a link-local address"),
    ("fe80::1%eth0", "a link-local address"),
    ("::ffff:169.254.1.1", "a link-local address"),
    ("169.254.169.254", "a metadata address"),
    ("::ffff:169.254.169.254", "a metadata address"),
    ("::ffff:a9fe:a9fe", "a metadata address"),
    ("64:ff9b::a9fe:a9fe", "a metadata address"),
    ("2002:a9fe:a9fe::1", "a metadata address"),
    ("fd00:ec2::254", "a metadata address"),
    ("fd20:ce::254", "a metadata address"),
    ("fd20:ce::254%eth0", "a metadata address"),
    ("100.100.100.200", "a metadata address"),
    ("168.63.129.16", "a metadata address"),
    ("192.0.0.192", "a metadata address"),
    ("0.0.0.0", "an unspecified address"),  # noqa: S104 - no test binds to it
    ("0.1.2.3", "an unspecified address"),
    ("::", "an unspecified address"),
    ("::ffff:0.0.0.0", "an unspecified address"),
    ("224.0.0.1", "a multicast address"),
    ("ff02::1", "a multicast address"),
    ("255.255.255.255", "a reserved address"),
    ("240.0.0.1", "a reserved address"),
    ("64:ff9b:1::7f00:1", "a reserved address"),
]
ALLOWED = [
    "10.0.0.5",
    "172.16.9.9",
    "192.168.250.7",
    "100.64.0.9",
    "8.8.8.8",
    "203.0.113.9",
    "fd12:3456::9",
    "2606:4700::1111",
    "64:ff9b::808:808",
    "::ffff:10.0.0.5",
]


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_refused(address, kind):
    assert refusal(address) == f"{address} is {kind}, where only an operator may attach."


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed(address):
    assert refusal(address) is None


@pytest.mark.parametrize("text", ["", "host", "127.1", "2130706433", "0x7f.1", "1.2.3.4/8"])
def test_a_text_that_is_no_address_is_refused(text):
    assert refusal(text) == f"{text!r} is no IP address."


RANGES = tuple(map(ipaddress.ip_network, ("10.20.0.0/16", "192.168.7.7/32", "fd12:3456::/32")))
OUTSIDE = "outside the ranges of this platform"


@pytest.mark.parametrize(
    "address", ["10.20.0.0", "10.20.255.255", "192.168.7.7", "fd12:3456::9", "::ffff:10.20.0.5"]
)
def test_allowed_in_the_ranges_of_tenants(settings, address):
    settings.TENANT_ENDPOINT_RANGES = RANGES
    assert refusal(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "10.21.0.0", "10.19.255.255", "192.168.7.8", "8.8.8.8", "fd12:3457::1", "2606:4700::1111",
        "::ffff:10.21.0.1", "64:ff9b::10.20.0.5", "2002:0a14:0005::1", "64:ff9b::808:808",
    ],
)  # fmt: skip
def test_refused_outside_the_ranges_of_tenants(settings, address):
    settings.TENANT_ENDPOINT_RANGES = RANGES
    assert refusal(address) == f"{address} is {OUTSIDE}, where only an operator may attach."


@pytest.mark.parametrize(("address", "kind"), REFUSED)
def test_a_range_allows_nothing_that_is_refused_without_it(settings, address, kind):
    settings.TENANT_ENDPOINT_RANGES = tuple(map(ipaddress.ip_network, ("0.0.0.0/0", "::/0")))
    assert refusal(address) == f"{address} is {kind}, where only an operator may attach."


def own_address():
    """This host's address for outgoing connections; none where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("This host has no network.")
        return probe.getsockname()[0]


def test_this_hosts_own_address_is_refused():
    own = own_address()
    if ipaddress.ip_address(own).is_loopback:
        pytest.skip("This host has no network.")
    assert refusal(own) == f"{own} is an address of this host, where only an operator may attach."
    assert "an address of this host" in str(refusal(f"::ffff:{own}"))


@pytest.mark.parametrize("spelt", ["127.0.0.1", "127.1", "2130706433", "localhost"])
def test_however_a_loopback_address_is_spelt_it_resolves_to_one(spelt):
    assert any("loopback" in str(refusal(address)) for address in resolve(spelt))


@pytest.mark.parametrize("name", ["nowhere.invalid", "a" * 64 + ".example", "", "\udc80"])
def test_a_name_that_does_not_resolve(name, monkeypatch):
    if name in {"nowhere.invalid", ""}:

        def nothing(*_, **__):
            raise socket.gaierror("no such name")

        monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(Unresolvable):
        resolve(name)


def test_a_resolver_that_hangs_is_waited_for_a_moment_only(monkeypatch):
    def hang(*_, **__):
        time.sleep(1)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    with pytest.raises(Unresolvable):
        resolve("slow.example", timeout_s=0.05)
    assert time.monotonic() - started < 0.9


def test_all_addresses_of_a_name_are_listed_once(monkeypatch):
    shown = [(0, 0, 0, "", (address, 0)) for address in ("10.0.0.5", "::1", "10.0.0.5")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: shown)
    assert resolve("two.example") == ["10.0.0.5", "::1"]


def test_names_whose_servers_never_answer_occupy_few_threads(monkeypatch):
    answered = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        answered.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(address_policy, "_lookups", threading.BoundedSemaphore(2))
    for _ in range(2):
        with pytest.raises(Unresolvable):
            resolve("slow.example.org", timeout_s=0.05)
    began = time.monotonic()
    with pytest.raises(Unresolvable):
        resolve("slow.example.org", timeout_s=10)
    assert time.monotonic() - began < 5
    answered.set()
