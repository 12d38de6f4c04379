"""Tokens are renewed by themselves, once for all shells that share a profile."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops import Client, MlopsError
from mlops.errors import NotLoggedInError
from mlops.profiles import Profile, ProfileFile, Profiles
from tests.equipment import Answer, Asked, Scripted


def jwt(number: int, lasts_s: float) -> str:
    claims = json.dumps({"exp": time.time() + lasts_s, "n": number}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.signature"


class Logins:
    """Refreshes as the platform does: a refresh token counts once, and the access token alone that
    was given last is accepted."""

    def __init__(self, scripted: Scripted, lasts_s: float = 900.0) -> None:
        self.access, self.refresh = jwt(0, lasts_s), "refresh-0"
        self.refreshed = 0
        self._lock = threading.Lock()
        scripted.otherwise = self.answer

    def answer(self, asked: Asked) -> Answer:
        if asked.path != "/api/users/refresh":
            accepted = asked.headers.get("Authorization") == f"Bearer {self.access}"
            refused = {"detail": "The token has expired.", "code": "token_not_valid"}
            return Answer(200, {"username": "ada"}) if accepted else Answer(401, refused)
        with self._lock:
            if asked.body["refresh_token"] != self.refresh:
                return Answer(401, {"detail": "Used twice.", "code": "token_not_valid"})
            self.refreshed += 1
            self.access, self.refresh = jwt(self.refreshed, 900), f"refresh-{self.refreshed}"
            return Answer(200, {"access_token": self.access, "refresh_token": self.refresh})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProfileFile:
    monkeypatch.setenv("MLOPS_CONFIG", str(tmp_path / "config" / "profiles.json"))
    for name in ("MLOPS_URL", "MLOPS_TOKEN", "MLOPS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return ProfileFile()


def store(file: ProfileFile, *profiles: Profile) -> None:
    with file.locked():
        file.write(Profiles(profiles[0].name, {profile.name: profile for profile in profiles}))


def profile_of(scripted: Scripted, access: str, refresh: str = "refresh-0") -> Profile:
    return Profile("lab", scripted.url, "ada", access_token=access, refresh_token=refresh)


def test_a_token_that_ends_soon_is_renewed_before_the_call(
    scripted: Scripted, file: ProfileFile
) -> None:
    logins = Logins(scripted)
    store(file, profile_of(scripted, jwt(0, 5)))
    assert Client().users.me().username == "ada"
    assert [asked.path for asked in scripted.asked] == ["/api/users/refresh", "/api/users/me"]
    stored = file.read().by_name["lab"]
    assert (stored.access_token, stored.refresh_token) == (logins.access, logins.refresh)


def test_a_token_that_is_refused_is_renewed_and_the_call_made_again(
    scripted: Scripted, file: ProfileFile
) -> None:
    Logins(scripted)
    store(file, profile_of(scripted, jwt(7, 900)))
    client = Client()
    assert [client.users.me().username for _ in range(2)] == ["ada", "ada"]
    assert [asked.path for asked in scripted.asked].count("/api/users/refresh") == 1


def test_a_login_in_memory_is_renewed_too(scripted: Scripted) -> None:
    logins = Logins(scripted)
    pair = {"access_token": jwt(7, 900), "refresh_token": "refresh-0"}
    scripted.script.append(Answer(200, pair))
    client = Client(scripted.url).login("ada", "a password")
    assert client.users.me().username == "ada"
    assert logins.refreshed == 1


def test_shells_that_share_a_profile_renew_its_token_once(
    scripted: Scripted, file: ProfileFile
) -> None:
    logins = Logins(scripted)
    store(file, profile_of(scripted, jwt(7, 900)))
    shells = [
        subprocess.Popen(
            [sys.executable, "-c", "from mlops import Client; print(Client().users.me().username)"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [shell.communicate()[0] for shell in shells] == ["ada\n"] * 4
    assert logins.refreshed == 1


def test_a_login_that_has_ended_says_so(scripted: Scripted, file: ProfileFile) -> None:
    Logins(scripted)
    store(file, profile_of(scripted, jwt(7, 900), "refresh-of-last-year"))
    with pytest.raises(NotLoggedInError, match="mlops login"):
        Client().users.me()


def test_an_api_key_is_sent_as_it_is_and_never_renewed(
    scripted: Scripted, file: ProfileFile
) -> None:
    Logins(scripted)
    store(file, Profile("ci", scripted.url, api_key="mlops_key"))
    with pytest.raises(MlopsError, match="expired"):
        Client().users.me()
    assert [asked.headers["Authorization"] for asked in scripted.asked] == ["Bearer mlops_key"]


def test_the_file_and_its_lock_are_readable_by_their_owner_alone(file: ProfileFile) -> None:
    os.umask(os.umask(0o000))
    store(file, Profile("lab", "http://lab.invalid"))
    for path in (file.path, Path(f"{file.path}.lock")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_variables_go_before_the_profile(
    scripted: Scripted, file: ProfileFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(file, Profile("lab", "http://lab.invalid", access_token="of-the-profile"))
    monkeypatch.setenv("MLOPS_URL", scripted.url)
    monkeypatch.setenv("MLOPS_TOKEN", "of-the-environment")
    Client().users.me()
    assert scripted.asked[0].headers["Authorization"] == "Bearer of-the-environment"


@pytest.mark.parametrize("name", ["staging", "production"])
def test_each_profile_has_its_own_platform(file: ProfileFile, name: str) -> None:
    profiles = [Profile(each, f"http://{each}.invalid") for each in ("staging", "production")]
    store(file, *profiles)
    assert Client(profile=name).transport.url == f"http://{name}.invalid"


def test_a_profile_that_is_unknown_is_named_with_those_there_are(file: ProfileFile) -> None:
    store(file, Profile("lab", "http://lab.invalid"))
    with pytest.raises(NotLoggedInError, match=r"no profile 'lav'.*Profiles: lab\."):
        Client(profile="lav")


def test_without_a_login_the_error_says_what_to_type(file: ProfileFile) -> None:
    with pytest.raises(NotLoggedInError, match="mlops login URL"):
        Client()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"profiles": []}', '{"profiles": {"a": {}}}'])
def test_a_broken_file_is_named(file: ProfileFile, content: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(content)
    with pytest.raises(MlopsError, match=r"profiles\.json cannot be read"):
        Client()


def test_a_field_of_a_newer_version_is_passed_over(file: ProfileFile) -> None:
    profile = {"name": "lab", "url": "http://lab.invalid", "colour": "blue"}
    file.path.parent.mkdir()
    file.path.write_text(json.dumps({"current": "lab", "profiles": {"lab": profile}}))
    assert Client().transport.url == "http://lab.invalid"
