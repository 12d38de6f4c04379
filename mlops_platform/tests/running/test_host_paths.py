"""VOLUME_HOST_ROOTS: below which folders of the nodes volumes may be; faults stop the start."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from mlops_platform.environment.host_paths import host_roots


@pytest.mark.parametrize(
    ("given", "roots"),
    [
        ({}, ()),
        ({"VOLUME_HOST_ROOTS": " , "}, ()),
        ({"VOLUME_HOST_ROOTS": "/srv/data/, /mnt/nas"}, ("/srv/data", "/mnt/nas")),
    ],
)
def test_folders_below_which_volumes_may_be(given, roots):
    assert host_roots(given) == roots


@pytest.mark.parametrize(
    "given",
    [
        "/",
        "srv",
        "/srv/../etc",
        "/srv//data",
        "/srv/.",
        "/etc",
        "/etc/ssl",
        "/proc",
        "/root",
        "/run",
    ],
)
def test_a_folder_of_the_system_or_none_at_all_is_refused_by_name(given):
    with pytest.raises(ImproperlyConfigured, match="VOLUME_HOST_ROOTS has"):
        host_roots({"VOLUME_HOST_ROOTS": f"/srv/data,{given}"})
