"""REGISTRATION, REGISTRATION_DOMAINS and TENANT_ENDPOINT_RANGES: faults stop the start by name."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.admission import endpoint_ranges, registration


@pytest.mark.parametrize(
    ("env", "mode", "domains"),
    [
        ({}, "open", set()),
        ({"REGISTRATION": ""}, "open", set()),
        ({"REGISTRATION": " Invite "}, "invite", set()),
        ({"REGISTRATION": "closed", "REGISTRATION_DOMAINS": " "}, "closed", set()),
        (
            {"REGISTRATION": "domains", "REGISTRATION_DOMAINS": "Example.org, lab.example.com,"},
            "domains",
            {"example.org", "lab.example.com"},
        ),
    ],
)
def test_who_may_register(env, mode, domains):
    assert (registration(env).mode, registration(env).domains) == (mode, domains)


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({"REGISTRATION": "invited"}, "REGISTRATION is 'invited'; use one of open, invite"),
        ({"REGISTRATION": "domains"}, "REGISTRATION_DOMAINS"),
        ({"REGISTRATION_DOMAINS": "example.org"}, "REGISTRATION_DOMAINS"),
        (
            {"REGISTRATION": "domains", "REGISTRATION_DOMAINS": "@example.org"},
            "REGISTRATION_DOMAINS has '@example.org'",
        ),
        (
            {"REGISTRATION": "domains", "REGISTRATION_DOMAINS": "example.org,*"},
            "REGISTRATION_DOMAINS has '\\*'",
        ),
    ],
)
def test_a_fault_is_named(env, name):
    with pytest.raises(ImproperlyConfigured, match=name):
        registration(env)


def test_the_ranges_of_tenants():
    assert endpoint_ranges({}) == endpoint_ranges({"TENANT_ENDPOINT_RANGES": ", "}) == ()
    ranges = endpoint_ranges({"TENANT_ENDPOINT_RANGES": "10.20.0.0/16, fd12::/16,192.0.2.7"})
    assert list(map(str, ranges)) == ["10.20.0.0/16", "fd12::/16", "192.0.2.7/32"]


@pytest.mark.parametrize("given", ["10.20.0.1/16", "10.0.0.0/33", "gpu.example.org", "10.0.0.0-9"])
def test_what_is_no_range_is_named(given):
    with pytest.raises(ImproperlyConfigured, match="TENANT_ENDPOINT_RANGES has"):
        endpoint_ranges({"TENANT_ENDPOINT_RANGES": f"10.1.0.0/16,{given}"})
