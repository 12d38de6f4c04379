"""What admins do, and who is logged in where."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from mlops import Client
from tests.conftest import PASSWORD
from tests.terminal import Terminal, at_a_terminal

pytestmark = [pytest.mark.e2e, pytest.mark.django_db]


def typed(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """Let commands read `text` from stdin."""
    path = folder / "stdin"
    path.write_text(f"{text}\n")
    monkeypatch.setattr("sys.stdin", path.open())


def test_a_login_is_kept_and_ended(mlops, lab, tmp_path, monkeypatch):
    config = tmp_path / "fresh.json"
    monkeypatch.setenv("MLOPS_CONFIG", str(config))
    assert "mlops login" in mlops("ps", code=4).err
    typed(monkeypatch, tmp_path, PASSWORD)
    mlops("login", lab.url, "-u", "ada", "--password-stdin")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert "ada" in mlops("whoami").out
    mlops("use", lab.cluster)
    typed(monkeypatch, tmp_path, PASSWORD)
    mlops("login", "--password-stdin")
    assert lab.cluster in mlops("whoami").out
    typed(monkeypatch, tmp_path, PASSWORD)
    mlops("login", "-u", "grace", "--password-stdin")
    assert lab.cluster not in mlops("whoami").out
    mlops("logout")
    assert "mlops login" in mlops("ps", code=4).err


def test_a_wrong_password_is_refused(mlops, lab, tmp_path, monkeypatch):
    typed(monkeypatch, tmp_path, "wrong")
    mlops("login", lab.url, "-u", "ada", "--password-stdin", code=4)


def test_a_program_without_a_browser_is_let_in_on_another_device(mlops, lab, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "device.json"))
    with at_a_terminal("login", lab.url, "--device") as person:
        person.sees("compare the code")
        person.sees("\n")
        found = re.search(r"user_code=([\w-]+)", person.seen)
        assert found is not None
        let_in(lab.url, found[1])
        assert person.ends() == 0
    assert "ada" in mlops("whoami").out


def let_in(url: str, code: str) -> None:
    """Do as a person with a browser does: log in, and allow the program with this code."""
    browser = Browser(url)
    browser.get("/console/login/")
    browser.post("/console/login/", username="ada", password=PASSWORD)
    browser.get(f"/sign-on/device?user_code={code}")
    assert "is let in" in browser.post("/sign-on/device", user_code=code, decision="allow")


class Browser:
    """Keeps cookies, and sends the token against forgery with each form."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> str:
        return self._call("GET", path)

    def post(self, path: str, **fields: str) -> str:
        token = self._cookies["csrftoken"]
        return self._call("POST", path, urlencode({**fields, "csrfmiddlewaretoken": token}))

    def _call(self, method: str, path: str, body: str | None = None) -> str:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
        url = self._url + path
        answer = urllib3.request(method, url, headers=headers, body=body, redirect=False)
        for each in answer.headers.getlist("Set-Cookie"):
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.data.decode()


def test_a_new_user_joins_by_an_invitation(mlops, lab, tmp_path, monkeypatch):
    link = mlops("invite", "VIEWER", "--uses", "1", "--for", "1h", "-o", "json").json
    assert "open" in mlops("invite", "--list").out
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "vera.json"))
    typed(monkeypatch, tmp_path, PASSWORD)
    join = ("--register", "--invite", link["token"], "--password-stdin")
    mlops("--profile", "vera", "login", lab.url, "-u", "vera", *join)
    assert f"{lab.organization}: VIEWER" in mlops("whoami").out
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "ada.json"))
    assert "vera" in mlops("members", "-o", "name").lines
    assert mlops("members", "role", "vera", "developer").out == "vera is DEVELOPER\n"
    mlops("members", "rm", "vera")
    assert "vera" not in mlops("members", "-o", "name").lines


def test_a_key_is_made_used_and_revoked(mlops, lab, monkeypatch):
    key = mlops("keys", "create", "ci", "--scope", "read", "--for", "1d").out.strip()
    assert key.startswith("mlops_")
    assert "ci" in mlops("keys").out
    monkeypatch.setenv("MLOPS_URL", lab.url)
    monkeypatch.setenv("MLOPS_TOKEN", key)
    assert "ada" in mlops("whoami").out
    assert "scope" in mlops("run", "-d", "-c", lab.cluster, "train:1", code=4).err.lower()
    monkeypatch.delenv("MLOPS_URL")
    monkeypatch.delenv("MLOPS_TOKEN")
    mlops("keys", "revoke", "ci")
    assert "ci" not in mlops("keys", "-o", "name").lines


def test_a_key_of_an_organization(mlops, lab):
    org = lab.organization
    assert mlops("keys", "--org", org, "create", "bot", "--role", "VIEWER").out.startswith("mlops_")
    assert "VIEWER" in mlops("keys", "--org", org).out
    mlops("keys", "--org", org, "revoke", "bot")


def test_nodes_are_cordoned_drained_and_opened(mlops, lab):
    where = ("-c", lab.nodes_cluster)
    assert mlops("nodes", *where, "-o", "name").lines == ["node-1", "node-2"]
    assert mlops("cordon", "node-*", *where).lines == ["node-1 CORDONED", "node-2 CORDONED"]
    assert "CORDONED" in mlops("nodes", "node-1", *where).out
    assert "node-1: 0 deployments" in mlops("drain", "node-1", *where, "--dry-run").out
    assert mlops("drain", "node-1", *where, "--reason", "new disk").out.startswith("node-1 DRAIN")
    assert mlops("uncordon", "node-1", "node-2", *where).lines == ["node-1 READY", "node-2 READY"]
    error = mlops("cordon", "node-9", *where, code=3).err
    assert "node-1, node-2" in error


def test_a_person_is_asked_before_a_drain(mlops, lab):
    with at_a_terminal("drain", "node-2", "-c", lab.nodes_cluster) as person:
        person.sees("Drain?")
        person.types("n\n")
        assert person.ends() == 1
    assert "READY" in mlops("nodes", "node-2", "-c", lab.nodes_cluster).out


def test_quotas_are_set_and_taken_away(mlops):
    mlops("quota", "set", "grace", "--gpu", "2", "--ram", "64Gi")
    mlops("quota", "set", "default", "--cpu", "8")
    rows = {row["username"]: row for row in mlops("quota", "-o", "json").json}
    assert (rows["grace"]["max_gpu"], rows["grace"]["max_ram"]) == (2, 65536)
    assert "grace" in mlops("quota").out
    mlops("quota", "rm", "grace")
    mlops("quota", "rm", "default")
    assert mlops("quota").out == ""


def test_clusters_and_organizations_are_listed(mlops, lab):
    assert mlops("clusters", "-o", "name").lines == [lab.cluster, lab.nodes_cluster]
    assert "0/8" in mlops("clusters").out
    assert mlops("orgs", "-o", "name").lines == [lab.organization]
    assert mlops("orgs", "create", "Frequency Hoppers").out
    mlops("use", f"{lab.organization}/{lab.nodes_cluster}")
    assert mlops("nodes", "-o", "name").lines == ["node-1", "node-2"]
    mlops("use", "Frequency Hoppers")
    assert mlops("members", "-o", "name").lines == ["ada"]
    with Client(lab.url, lab.ada.transport.credentials.token(lab.ada.transport)) as client:
        client.organizations.delete("Frequency Hoppers")


def test_a_cluster_is_made_paused_and_deleted(mlops):
    made = mlops("clusters", "create", "gpu-south", "--gpu", "2", "--cpu", "8", "--ram", "64Gi")
    assert made.out.endswith("gpu-south ACTIVE\n")
    paused = mlops("clusters", "set", "gpu-south", "paused", "--reason", "power").out
    assert paused == "gpu-south PAUSED\n"
    assert mlops("cycles", "-c", "gpu-south").out == ""
    mlops("clusters", "rm", "gpu-south")
    assert "gpu-south" not in mlops("clusters", "-o", "name").lines


def test_usage_is_summed_up_by_groups(mlops):
    job = mlops("run", "-d", "--gpu", "2", "--simulate", "0.5", "train:1").out.strip()
    mlops("wait", job, "--timeout", "60s")
    shown = mlops("usage", "--by", "user,cluster").lines
    assert shown[0].split()[:4] == ["USER", "CLUSTER", "GPU", "HOURS"]
    assert any(line.startswith("ada") for line in shown)
    assert shown[-1].startswith("total")
    usage = mlops("usage", "--from", "2026-01-01", "-o", "json", code=0).json
    assert usage["total"]["started"] >= 1
    assert "group_by" in mlops("usage", "--by", "colour", code=4).err


def test_profiles_are_listed_and_chosen(mlops, lab):
    assert mlops("profiles").lines[1].split()[:3] == ["*", "lab", lab.url]
    assert mlops("profiles", "-o", "json").json[0]["current"] is True
    assert "no profile 'production': lab" in mlops("profiles", "production", code=3).err
    assert "mlops login" in mlops("--profile", "production", "ps", code=4).err


def test_open_prints_the_address_of_the_page(mlops, lab):
    job = mlops("run", "-d", "--gpu", "0", "--name", "shown", "train:1").out.strip()
    address = f"{lab.url}/console/deployments/{job}/"
    assert mlops("open", "shown", "--print").out == f"{address}\n"
    mlops("stop", "shown")


def test_the_shell_completes_commands_and_names(mlops, monkeypatch, capsys):
    mlops("run", "-d", "--gpu", "0", "--name", "completed-name", "train:1")
    assert "_MLOPS_COMPLETE=bash_source" in mlops("completion", "bash").out
    monkeypatch.setenv("_MLOPS_COMPLETE", "bash_complete")
    for words, number, found in (
        ("mlops pri", 1, "priority"),
        ("mlops why comp", 2, "completed-name"),
    ):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(number))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            mlops()
        assert found in capsys.readouterr().out
    monkeypatch.delenv("_MLOPS_COMPLETE")
    mlops("stop", "completed-name")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("shwo",), 2, "Did you mean 'show'?"),
        (("run",), 2, "Say an IMAGE"),
        (("run", "--ram", "16", "a"), 2, "16Gi"),
        (("run", "--gpu", "two", "a"), 2, "neither a number nor 'all'"),
        (("run", "-e", "A B=1", "-v", "data", "a"), 2, "NAME:PATH"),
        (("run", "-w", "-d", "a"), 2, "do not go together"),
        (("run", "-f", "nothing.yaml"), 2, "No such file"),
        (("wait", "a", "--timeout", "soon"), 2, "no duration"),
        (("ps", "-w"), 2, "needs a terminal"),
        (("ps", "-s", "WAITING"), 4, "status"),
        (("run", "-d", "--priority", "URGENT", "a"), 4, "priority"),
        (("show", "nothing"), 3, "nothing"),
        (("nodes", "-c", "gpu-nowhere"), 3, "not yours to see"),
        (("use", "gpu-nowhere"), 3, "not yours to see"),
    ],
)
def test_a_fault_is_named_with_its_exit_code(mlops: Terminal, arguments, code, said):
    assert said in mlops(*arguments, code=code).err


def test_what_does_not_answer_is_unreachable(mlops, monkeypatch):
    monkeypatch.setenv("MLOPS_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLOPS_RETRIES", "0")
    assert "does not answer" in mlops("ps", code=5).err
