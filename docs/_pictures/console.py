"""Takes the pictures of the console: `make screenshots`.

On a platform of its own it tells the story of the admin's pictures, with a sweep and another
cluster, and photographs the console as one of the members sees it.
"""

import shutil
import sys
import time

from admin import ARGUMENTS, IMAGES, PASSWORD, Client, platform, tell_story
from playwright.sync_api import Page, sync_playwright

WIDE, TALL = {"width": 1280, "height": 800}, {"width": 1280, "height": 1000}
PHONE = {"width": 390, "height": 844}


def go_on(server: str, cluster: str) -> None:
    """A sweep, of which some members have ended, and a cluster with room."""
    ada = Client.of(server, "ada")
    organization = ada.get(f"/clusters/{cluster}")["organization_id"]
    east = {"total_cpu": 64, "total_ram": 262_144, "total_gpu": 8}
    ada.post("/clusters", organization_id=organization, name="gpu-east", **east)
    template = {
        "cluster_id": cluster,
        "name": "lr-{lr}-{seed}",
        "image": "registry.example.com/lab/train:1.2",
        "required_cpu": 1,
        "required_ram": 512,
        "required_gpu": 0,
        "simulated_runtime_s": 8,
    }
    matrix = {"lr": [0.1, 0.01, 0.001], "seed": [1, 2, 3, 4]}
    ada.post("/sweeps", name="lr-sweep", matrix=matrix, max_parallel=3, template=template)
    time.sleep(14)  # for some of its members to end


def photograph(server: str) -> None:
    ada = Client.of(server, "ada")
    [waiting] = ada.get("/deployments?status=QUEUED&owner=me&name=sweep")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("No chromium on PATH (Debian: apt install chromium).")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        page = browser.new_page(viewport=WIDE)  # type: ignore[arg-type]  # two numbers
        page.goto(f"{server}/console/login/")
        page.fill("[name=username]", "ada")
        page.fill("[name=password]", PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Running").wait_for()
        take(page, "console-home")
        page.goto(f"{server}/console/deployments/")
        take(page, "console-deployments")
        page.goto(f"{server}/console/deployments/{waiting['id']}/")
        page.get_by_text("Each is a quote").wait_for()
        page.set_viewport_size(TALL)  # type: ignore[arg-type]  # two numbers
        take(page, "console-why")
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # two numbers
        page.emulate_media(color_scheme="dark")
        page.goto(f"{server}/console/")
        take(page, "console-phone")
        browser.close()


def take(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    with platform() as (address, _):
        go_on(address, tell_story(address))
        photograph(address)
