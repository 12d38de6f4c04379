"""GET /api/users/me/secrets; GET, PUT, DELETE …/secrets/{name}; GET …/secrets/{name}/uses"""

import pytest

from organizations.models import Secret
from organizations.secrets import owners
from organizations.secrets.queries import SecretKey, opened
from organizations.secrets.services import put_secret

LIST = "/api/users/me/secrets"
HF = f"{LIST}/hf"


def value_of(user, name="hf"):
    key = SecretKey(owners.person(user.pk), name)
    secret = opened([key]).get(key)
    return secret and secret.value


@pytest.mark.parametrize("slash", ["", "/"])
def test_any_user_has_secrets_of_their_own_also_without_an_organization(api, vera, slash):
    vera.memberships.all().delete()
    answer = api(vera).put(HF + slash, {"value": "of vera"})
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["name"], shown["version"], shown["updated_by"]) == ("hf", 1, "vera")
    assert api(vera).get(LIST).json() == [shown]
    assert api(vera).get(HF).json() == shown
    assert api(vera).get(f"{HF}/uses").json() == []
    assert api(vera).put(HF, {"value": "another"}).json()["version"] == 2
    assert value_of(vera) == "another"
    assert api(vera).delete(HF).status_code == 204
    assert api(vera).get(LIST).json() == []


@pytest.mark.parametrize("person", ["ada", "dev", "sam"])
def test_no_other_user_sees_or_changes_them_not_even_an_admin(request, api, org, vera, person):
    other = request.getfixturevalue(person)
    put_secret(vera, owners.person(vera.pk), "hf", "of vera")
    client = api(other)
    assert client.get(LIST).json() == []
    assert client.get(HF).status_code == client.get(f"{HF}/uses").status_code == 404
    assert client.delete(f"{HF}?force=true").status_code == 404
    assert client.put(HF, {"value": "of another"}).status_code == 201
    assert value_of(vera) == "of vera"
    if person != "sam":
        assert api(other).get(f"/api/orgs/{org.pk}/secrets").json() == []


def test_without_a_token_there_are_none(anyone):
    for path in (LIST, HF, f"{HF}/uses"):
        assert anyone.get(path).status_code == 401
    assert anyone.put(HF, {"value": "x"}).status_code == 401
    assert anyone.delete(HF).status_code == 401


def test_a_person_has_as_many_as_allowed(api, dev, settings):
    settings.MAX_SECRETS = 1
    assert api(dev).put(HF, {"value": "x"}).status_code == 201
    refused = api(dev).put(f"{LIST}/another", {"value": "x"})
    assert (refused.status_code, refused.json()["detail"]) == (409, "A person may have 1 secrets.")


def test_they_go_with_their_person(api, dev):
    api(dev).put(HF, {"value": "x"})
    dev.delete()
    assert not Secret.objects.exists()
