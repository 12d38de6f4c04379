"""A client without a token is known by its address, which has a share of the threads."""

import pytest

from mlops_platform.web.clients import client_of
from mlops_platform.web.messages import Head


def client_at(address: str) -> str:
    return client_of(Head({}, 0.0, "GET", "/", {}, address))


def test_ipv4_addresses_are_apart_also_in_their_ipv6_form() -> None:
    assert client_at("::ffff:192.0.2.7") != client_at("::ffff:192.0.2.8")
    assert client_at("::ffff:192.0.2.7") == client_at("192.0.2.7")


@pytest.mark.parametrize(("other", "same"), [("2001:db8:1:2::9", True), ("2001:db8:1:3::1", False)])
def test_a_network_of_ipv6_is_one_client(other: str, same: bool) -> None:
    assert (client_at("2001:db8:1:2::1") == client_at(other)) is same
