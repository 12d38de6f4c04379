"""The pages for people, as a person uses them, in a real browser on the real web server.

Nothing is asked of the database here while the browser runs: what is needed is made before, and
all else goes through the pages.
"""

import json
import time
from base64 import b32decode
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import global_settings
from django_otp.oath import TOTP

from accounts.models import User
from mlops_platform.tests.equipment.browser import Visit
from mlops_platform.tests.equipment.world import World
from organizations.tests.people import PASSWORD

pytestmark = pytest.mark.browser
PAGES = ("clusters/cluster", "deployments/deployment", "scheduler/schedulingcycle")


@pytest.fixture(autouse=True)
def _operator(transactional_db: None, settings: Any) -> None:
    """Before the browser, whose event loop would keep Django from asking the database."""
    settings.PASSWORD_HASHERS = global_settings.PASSWORD_HASHERS  # the ones that the server knows
    User.objects.create_superuser("olga", password=PASSWORD)


@dataclass
class Answer:
    status: int
    body: Any


def call(visit: Visit, operation: str, **changed: Any) -> Answer:
    """Unfold the call, press "Try it out", adapt the example body, press "Execute", read."""
    block = visit.page.locator(f"[id$='-{operation}'].opblock")
    if "is-open" not in str(block.get_attribute("class")):
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
    body = block.locator("textarea.body-param__text")
    body.fill(json.dumps({**json.loads(body.input_value()), **changed}))
    before = block.locator(".live-responses-table").count()
    if before:
        block.get_by_role("button", name="Clear").click()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tbody tr").first
    status = int(answer.locator(".response-col_status").inner_text().split()[0])
    shown = answer.locator(".response-col_description pre").first.inner_text()
    return Answer(status, json.loads(shown))


def authorize(visit: Visit, token: str) -> None:
    page = visit.page
    page.locator(".auth-wrapper .btn.authorize").click()
    page.locator(".auth-container input").fill(f"Bearer {token}")
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Apply credentials").click()
    page.locator(".auth-btn-wrapper").get_by_role("button", name="Close").click()


def test_a_new_user_gets_from_registering_to_a_deployment(visit: Visit) -> None:
    visit.open("/swagger/")
    person = {"username": "grace", "password": PASSWORD}
    registered = call(visit, "users_register", **person)
    assert (registered.status, registered.body["username"]) == (201, "grace")

    refused = call(visit, "orgs_create")
    assert (refused.status, refused.body["code"]) == (401, "not_authenticated")

    logged_in = call(visit, "users_login", **person)
    assert logged_in.status == 200
    authorize(visit, logged_in.body["access_token"])

    organization = call(visit, "orgs_create", name="Difference Engines")
    assert organization.status == 201
    assert organization.body["developer_invite_code"]

    cluster = call(visit, "clusters_create", organization_id=organization.body["id"])
    assert cluster.status == 201
    assert cluster.body["available_gpu"] == cluster.body["total_gpu"]

    deployment = call(visit, "deployments_submit", cluster_id=cluster.body["id"])
    assert (deployment.status, deployment.body["status"]) == (201, "QUEUED")
    assert deployment.body["queue_position"] == 1

    visit.page.reload()  # the token is kept, and the page says so
    visit.page.locator(".auth-wrapper .btn.authorize.locked").wait_for()
    assert call(visit, "orgs_create", name="Second").status == 201
    visit.check(refused=1)


def test_an_operator_finds_clusters_deployments_and_the_ledger(
    committed_world: World, visit: Visit
) -> None:
    page = visit.page
    visit.open("/admin/")
    assert "/admin/login/" in page.url
    page.get_by_label("Username").fill("olga")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    for path in PAGES:
        page.locator(f"#content a[href='/admin/{path}/']").first.click()
        page.locator("#changelist").wait_for()
        assert page.url.endswith(f"/admin/{path}/")
        page.locator("#result_list tbody th a").first.click()
        page.wait_for_url(f"**/admin/{path}/*/change/**")
        visit.open("/admin/")
    assert page.get_by_role("heading", name="Is all well?").is_visible()
    page.set_viewport_size({"width": 1366, "height": 844})
    visit.open("/admin/clusters/cluster/")
    for name in ("gpus", "waiting", "running"):
        box = page.locator(f"#result_list thead .column-{name}").bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 1000  # left of the filters
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", *PAGES):
        visit.open(f"/admin/{path}/" if path else "/admin/")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    visit.open("/admin/clusters/cluster/")
    assert page.locator("#result_list td[data-label='Waiting']").first.is_visible()
    page.locator(".operators-menu summary", has_text="Deployments").click()
    page.locator(".operators-menu a", has_text="Deployments").click()
    page.wait_for_url("**/admin/deployments/deployment/")
    visit.check()


def log_in(visit: Visit) -> None:
    visit.open("/admin/")
    visit.page.get_by_label("Username").fill("olga")
    visit.page.get_by_label("Password").fill(PASSWORD)
    visit.page.get_by_role("button", name="Log in").click()


def code_of(key: str, steps: int = 0) -> str:
    """What an authenticator app shows for the key, so many half minutes from now."""
    totp = TOTP(b32decode(key.replace(" ", "")))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06}"


@pytest.mark.parametrize("width", [1280, 390])
def test_an_operator_enrols_a_second_factor_and_logs_in_with_it(visit: Visit, width: int) -> None:
    page = visit.page
    page.set_viewport_size({"width": width, "height": 844})

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    def give(code: str, button: str) -> None:
        page.get_by_label("Code").fill(code)
        page.get_by_role("button", name=button).click()

    log_in(visit)
    page.get_by_role("link", name="Second factor").click()
    image = page.get_by_alt_text("QR code of the key below")
    assert image.evaluate("image => image.complete && image.naturalWidth > 100")
    fits()
    key = page.locator(".enrol-device code").inner_text()
    give(code_of(key, 5), "Enrol")
    page.get_by_text("This is not the code that the app shows now.").wait_for()
    give(code_of(key), "Enrol")
    codes = page.locator(".recovery-codes code")
    assert codes.count() == 10
    fits()
    recovery = codes.first.inner_text()
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Log out").click()

    log_in(visit)
    page.get_by_text("one of your recovery codes").wait_for()
    fits()
    visit.open("/admin/clusters/cluster/")
    assert "/admin/second-factor/" in page.url
    give(code_of(key, 1), "Go on")
    page.locator("#changelist").wait_for()
    page.get_by_role("button", name="Log out").click()

    log_in(visit)
    give(recovery, "Go on")
    page.get_by_text("That recovery code is used up; you have 9 more.").wait_for()
    visit.check()
