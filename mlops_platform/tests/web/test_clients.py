"""By whose shares of the threads a request counts."""

from uuid import uuid4

import pytest

from accounts.keys.tokens import new_token
from accounts.models import User
from mlops_platform.tests.web.asking import bearer
from mlops_platform.web import clients
from mlops_platform.web.clients import STRANGERS, Client, Clients
from mlops_platform.web.messages import Head

ADA = User(id=uuid4(), username="ada")
BEN = User(id=uuid4(), username="ben")
CLUSTER, DEPLOYMENT = str(uuid4()), str(uuid4())


def head(path: str, user: User | None = None, address: str = "192.0.2.7") -> Head:
    headers = {name.lower(): value for name, value in bearer(user).items()} if user else {}
    return Head({}, 0.0, "GET", path, headers, address)


def client_at(address: str) -> str:
    """A client without a token is known by its address."""
    return Clients().of(head("/", address=address)).name


def test_ipv4_addresses_are_apart_also_in_their_ipv6_form() -> None:
    assert client_at("::ffff:192.0.2.7") != client_at("::ffff:192.0.2.8")
    assert client_at("::ffff:192.0.2.7") == client_at("192.0.2.7")


@pytest.mark.parametrize(("other", "same"), [("2001:db8:1:2::9", True), ("2001:db8:1:3::1", False)])
def test_a_network_of_ipv6_is_one_client(other: str, same: bool) -> None:
    assert (client_at("2001:db8:1:2::1") == client_at(other)) is same


def test_a_path_proves_no_organization() -> None:
    known = Clients()
    known.learn(known.of(head(f"/api/clusters/{CLUSTER}", ADA)), "a")
    for path in (f"/api/clusters/{CLUSTER}", f"/api/clusters/{CLUSTER}/queue", "/api/deployments"):
        assert known.of(head(path, ADA)).organization == "a"
        stranger = known.of(head(path, BEN))
        assert stranger.organization is None
        assert STRANGERS in stranger.shares


def test_users_of_several_organizations_count_for_that_of_the_id_in_the_path() -> None:
    known = Clients()
    known.learn(known.of(head(f"/api/clusters/{CLUSTER}", ADA)), "a")
    known.learn(known.of(head(f"/api/deployments/{DEPLOYMENT}/logs", ADA)), "b")
    assert known.of(head(f"/api/clusters/{CLUSTER}/nodes", ADA)).organization == "a"
    assert known.of(head(f"/api/deployments/{DEPLOYMENT.upper()}", ADA)).organization == "b"
    assert known.of(head("/api/deployments", ADA)).organization == "b"


def test_users_of_one_id_share_until_their_organization_is_known() -> None:
    known = Clients()
    ada, ben = (known.of(head(f"/api/clusters/{CLUSTER}/queue", each)) for each in (ADA, BEN))
    assert ada.group == ben.group
    assert ada.name != ben.name
    nobody = known.of(head(f"/api/clusters/{CLUSTER}/queue"))
    assert nobody.group == nobody.name  # it has no token: the call is refused at once


def test_what_one_user_has_found_of_an_id_counts_for_others_without_making_them_members() -> None:
    known = Clients()
    ada, ben = (known.of(head(f"/api/clusters/{CLUSTER}/queue", each)) for each in (ADA, BEN))
    known.learn(ada, "a")
    known.look_up(ada)
    known.look_up(ben)
    assert ada.group == "organization a"
    assert ada.group in ben.shares
    assert ada.group != ben.group
    assert STRANGERS in ben.shares
    known.learn(known.of(head("/api/deployments", BEN)), "b")
    known.look_up(ben)
    assert ben.group == "organization b"
    assert STRANGERS not in ben.shares


def test_a_request_counts_for_what_it_has_begun_with_until_it_ends() -> None:
    known = Clients()
    ada = known.of(head(f"/api/clusters/{CLUSTER}", ADA))
    ada.begin()
    before = ada.shares
    known.learn(ada, "a")
    known.look_up(ada)
    assert ada.shares == before | {"organization a"}


def test_what_was_learned_first_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "REMEMBERED", 2)
    known = Clients()
    for user in (ADA, BEN, User(id=uuid4(), username="cid")):
        known.learn(known.of(head("/api/deployments", user)), "a")
    assert known.of(head("/", ADA)).organization is None
    assert known.of(head("/", BEN)).organization == "a"


def test_a_key_is_its_addresses_until_its_user_is_known_and_again_once_it_ends() -> None:
    token = new_token()
    known, with_key = Clients(), {"authorization": f"bearer {token}"}

    def sent(address: str = "203.0.113.7") -> Client:
        request = head(f"/api/clusters/{CLUSTER}", address=address)
        return known.of(request._replace(headers=with_key))

    first = sent()
    assert first.name.startswith("address ")
    first.begin()
    known.learn_user(first, "ada")
    known.learn(first, "engines")
    known.look_up(first)
    assert {"user ada", "organization engines"} < first.shares
    assert first.begun_with < first.shares
    again = sent(address="203.0.113.8")
    assert (again.name, again.organization) == ("user ada", "engines")
    known.learn_user(again, None)
    assert sent().name.startswith("address ")


@pytest.mark.parametrize("beside", ["", "csrftoken=x; ", "theme=dark;"])
def test_a_session_is_its_addresses_until_its_user_is_known_and_again_once_it_ends(
    beside: str,
) -> None:
    known, cookie = Clients(), f"{beside}sessionid={'a1' * 16}"

    def of(cookie: str) -> Client:
        return known.of(head("/console/")._replace(headers={"cookie": cookie}))

    first = of(cookie)
    assert first.name == client_at("192.0.2.7")
    known.learn_user(first, "ada")
    assert of(cookie).name == "user ada"
    assert of(f"{cookie}; other=1").name == "user ada"
    for other in (cookie.replace("a1", "b1"), cookie.replace("se", "xse"), f"{cookie}0", ""):
        assert of(other).name == client_at("192.0.2.7")
    known.learn_user(of(cookie), None)
    assert of(cookie).name == client_at("192.0.2.7")
