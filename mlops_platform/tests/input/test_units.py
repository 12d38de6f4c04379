"""Amounts as texts with a unit, beside numbers: read exactly, or refused with what to write."""

from typing import Any

import pytest
from rest_framework import serializers

from clusters.api.amounts import cpu_field, ram_field
from mlops_platform import documents

CORES = [
    (2, 2000),
    (0.5, 500),
    ("2", 2000),
    ("500m", 500),
    ("1.5", 1500),
    (".25", 250),
    ("3.", 3000),
]
MEBIBYTES = [
    (512, 512),
    ("512Mi", 512),
    ("16Gi", 16_384),
    ("1.5Gi", 1536),
    ("2048Ki", 2),
    ("1Ti", 2**20),
    ("1024M", None),
    ("1048576k", 1000),
]
REFUSED = [
    (cpu_field(), "half", 'Write a number of cores, or a text such as "500m" or "1.5".'),
    (cpu_field(), "500m\n", 'Write a number of cores, or a text such as "500m" or "1.5".'),
    (ram_field(), "16Gi\n", 'Write a text with a unit, such as "16Gi" or "512Mi", or a number'),
    (cpu_field(), "16Gb", 'Write a number of cores, or a text such as "500m" or "1.5".'),
    (cpu_field(), "1000.5m", "At most three decimal places (one thousandth of a core)."),
    (cpu_field(), "0", "Must be 0.001 or more."),
    (cpu_field(), "99999999", "Must be 10000000 or less."),
    (ram_field(), "16", 'A text needs a unit: write "16Gi", "16Mi", or a number of MiB.'),
    (ram_field(), "16GB", 'Write a text with a unit, such as "16Gi" or "512Mi", or a number'),
    (ram_field(), "1024M", "Not a whole number of MiB: 976.562."),
    (ram_field(), "1Ki", "Not a whole number of MiB: 0.001."),
    (ram_field(), "0Gi", "Ensure this value is greater than or equal to 1."),
    (ram_field(), "9Ei", "Ensure this value is less than or equal to 10000000000."),
]


@pytest.mark.parametrize(("given", "milli"), CORES)
def test_cores_are_read_exactly(given: Any, milli: int) -> None:
    assert cpu_field().run_validation(given) == milli


@pytest.mark.parametrize(("given", "mib"), [each for each in MEBIBYTES if each[1]])
def test_sizes_are_read_exactly(given: Any, mib: int) -> None:
    assert ram_field().run_validation(given) == mib


@pytest.mark.parametrize(("field", "given", "sentence"), REFUSED)
def test_what_is_no_amount_is_refused_with_what_to_write(
    field: serializers.Field, given: str, sentence: str
) -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        field.run_validation(given)
    (told,) = refused.value.detail
    assert str(told).startswith(sentence)


def test_every_amount_in_a_body_may_be_a_text_and_every_answer_has_numbers() -> None:
    """The OpenAPI document says so of each body and of no answer."""
    amounts = ("cpu", "ram", "mib", "ram_limit")
    for name, schema in documents.openapi()["components"]["schemas"].items():
        for field, shown in schema.get("properties", {}).items():
            types = shown.get("type")
            if not field.endswith(amounts) or types in ("object", "array") or not types:
                continue
            in_a_body = schema.get("additionalProperties") is False
            assert ("string" in types) == in_a_body, f"{name}.{field}: {types}"


@pytest.mark.django_db
def test_submits_changes_nodes_and_quotas_take_texts(api, ada, dev, org) -> None:
    here = {"name": "west", "organization_id": str(org.pk)}
    totals = {"total_cpu": "8", "total_ram": "16Gi", "total_gpu": 4}
    cluster = api(ada).post("/api/clusters", {**here, **totals}).json()
    assert (cluster["total_cpu"], cluster["total_ram"]) == (8, 16_384)
    asked = {"required_cpu": "500m", "required_ram": "1.5Gi", "required_gpu": 0, "priority": "LOW"}
    container = {"image": "train", "shm_mib": "64Mi", "ephemeral_mib": "2Gi"}
    made = api(dev).post("/api/deployments", {"cluster_id": cluster["id"], **asked, **container})
    assert made.status_code == 201
    shown = ("required_cpu", "required_ram", "shm_mib", "ephemeral_mib")
    assert [made.json()[name] for name in shown] == [0.5, 1536, 64, 2048]
    path = f"/api/deployments/{made.json()['id']}"
    assert api(dev).patch(path, {"required_ram": "1Gi"}).json()["required_ram"] == 1024
    quota = {"max_cpu": "1500m", "max_ram": "3Gi", "max_gpu": None}
    limits = api(ada).put(f"/api/clusters/{cluster['id']}/quotas/default", quota).json()
    assert (limits["max_cpu"], limits["max_ram"]) == (1.5, 3072)
    node = {"name": "n1", "cpu": "250m", "ram": "1Gi", "gpu": 0}
    added = api(ada).post(f"/api/clusters/{cluster['id']}/nodes", node).json()
    assert (added["cpu"], added["ram"]) == (0.25, 1024)
