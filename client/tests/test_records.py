"""Records take what an older or a newer platform answers."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from mlops.models.deployments import Deployment

WHEN = datetime(2026, 3, 1, 9, 30, 0, 250000, tzinfo=timezone.utc)


def test_a_field_that_the_client_does_not_know_can_be_read() -> None:
    deployment = Deployment({"id": "1", "colour": "blue", "parts": [{"name": "a"}]})
    assert deployment.colour == "blue"
    assert deployment.parts[0].name == "a"


def test_a_field_that_the_platform_does_not_answer_is_an_error_when_it_is_read() -> None:
    with pytest.raises(AttributeError, match="Deployment has no field 'exit_code'"):
        _ = Deployment({"id": "1"}).exit_code


def test_times_are_read_and_null_stays_null() -> None:
    shown = Deployment({"created_at": "2026-03-01T09:30:00.250000Z", "finished_at": None})
    assert shown.created_at == WHEN
    assert shown.finished_at is None
    assert shown["created_at"] == "2026-03-01T09:30:00.250000Z"


def test_what_users_name_is_no_record_and_no_time() -> None:
    labels = {"at": "2026-03-01T09:30:00Z"}
    assert Deployment({"labels": labels}).labels == labels


def test_a_record_says_what_it_is_of() -> None:
    deployment = Deployment({"eta": {"p50": "2026-03-01T09:30:00.250000Z"}, "name": "a<b"})
    assert deployment.eta is not None
    assert deployment.eta.p50 == WHEN
    assert type(deployment.eta).__name__ == "Eta"
    assert "a&lt;b" in deployment._repr_html_()


def test_equal_content_is_equal() -> None:
    one, same, other = (Deployment({"id": number}) for number in ("1", "1", "2"))
    assert one == same
    assert one != other
    assert len({one, same, other}) == 2
