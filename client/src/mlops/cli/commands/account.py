"""`login`, `logout`, `profiles`, `use` and `whoami`: which platform, as which user."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Any, Final

import click

from mlops import ApiError, Client, NotFoundError, errors
from mlops.cli.output import facts, note, output_option, show_data, show_one
from mlops.cli.session import Session, pass_session
from mlops.cli.tables import Column, plain, table
from mlops.profiles import DEFAULT_PROFILE, Profile, ProfileFile

SLOWER_S: Final = 5
"""How much longer to wait after `slow_down`."""


@click.command("login")
@click.argument("url", required=False)
@click.option("-u", "--username", metavar="USER")
@click.option("--key", is_flag=True, help="With an API key, which is asked for or read from stdin.")
@click.option("--device", is_flag=True, help="On another device, with a browser: SSO too.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@click.option("--register", is_flag=True, help="Make the account first.")
@click.option("--invite", metavar="CODE", help="Join an organization with an invite code.")
@pass_session
def login_(
    session: Session,
    url: str | None,
    username: str | None,
    key: bool,
    device: bool,
    password_stdin: bool,
    register: bool,
    invite: str | None,
) -> None:
    """Log in to a platform, and remember the login as a profile.

    URL is that of the platform; later logins take the one of the profile.
    """
    file = ProfileFile()
    name = session.profile_name or file.read().current or DEFAULT_PROFILE
    old = file.read().get(name)
    address = url or os.environ.get("MLOPS_URL") or (old.url if old else None)
    if not address:
        raise click.UsageError("Say the platform's address: mlops login http://127.0.0.1:8000")
    if key:
        profile = _with_key(name, address, secret("API key", stdin=not sys.stdin.isatty()))
    elif device:
        profile = _on_another_device(name, address)
    else:
        user = username or (old.username if old else "") or click.prompt("Username", err=True)
        password = secret("Password", stdin=password_stdin)
        profile = _with_password(name, address, user, password, register, invite)
    if old and (old.url, old.username) == (profile.url, profile.username):
        profile.organization, profile.cluster = old.organization, old.cluster
    with file.locked() as profiles:
        profiles.by_name[name] = profile
        profiles.current = name
        file.write(profiles)
    click.echo(f"Logged in to {profile.url} as {profile.username} (profile {name}).")


def secret(what: str, stdin: bool) -> str:
    """A secret that is typed unseen, or comes from stdin."""
    if stdin:
        return sys.stdin.readline().rstrip("\n")
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}: there is no terminal to ask at; use --password-stdin.")
    typed: str = click.prompt(what, hide_input=True, err=True)
    return typed


def _with_key(name: str, url: str, key: str) -> Profile:
    with Client(url, key) as client:
        me = client.users.me()
        return Profile(name, client.transport.url, me.username, api_key=key)


def _on_another_device(name: str, url: str) -> Profile:
    """Show a code and an address, and wait until a person has let this program in there."""
    with Client(url, "") as client:
        codes = client.users.begin_device(client=f"mlops on {platform.node() or 'a computer'}")
        note(f"Open {codes.verification_uri_complete}\nand compare the code: {codes.user_code}")
        pair = _let_in(client, codes)
        me = Client(url, pair.access_token).users.me()
        return Profile(
            name,
            client.transport.url,
            me.username,
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
        )


def _let_in(client: Client, codes: Any) -> Any:
    """The tokens, once they are given; RFC 8628 says how often to ask."""
    interval = codes.interval
    while True:
        time.sleep(interval)
        try:
            return client.users.device_tokens(device_code=codes.device_code)
        except ApiError as error:
            if error.code not in {"authorization_pending", "slow_down"}:
                raise
            interval += SLOWER_S if error.code == "slow_down" else 0


def _with_password(
    name: str, url: str, username: str, password: str, register: bool, invite: str | None
) -> Profile:
    with Client(url, "") as client:
        if register:
            code = {"invite_code": invite} if invite else {}
            client.users.register(username=username, password=password, **code)
        pair = client.users.login(username=username, password=password)
        if invite and not register:
            Client(url, pair.access_token).organizations.join(invite_code=invite)
        return Profile(
            name,
            client.transport.url,
            username,
            access_token=pair.access_token,
            refresh_token=pair.refresh_token,
        )


@click.command("logout")
@pass_session
def logout_(session: Session) -> None:
    """End the login of the profile, here and on the platform."""
    file = ProfileFile()
    with file.locked() as profiles:
        name = session.profile_name or os.environ.get("MLOPS_PROFILE") or profiles.current
        profile = profiles.by_name.pop(name, None)
        if profile is None:
            raise errors.NotLoggedInError("You are not logged in.")
        if profiles.current == name:
            profiles.current = next(iter(profiles.by_name), "")
        file.write(profiles)
    if profile.refresh_token:
        try:
            with Client(profile.url, profile.access_token) as client:
                client.users.logout(refresh_token=profile.refresh_token)
        except errors.MlopsError as error:
            note(f"The platform was not asked to end the login: {error}")
    click.echo(f"Profile {name} is logged out.")


@click.command("profiles")
@click.argument("name", required=False)
@output_option
def profiles_(name: str | None, form: str) -> None:
    """List the profiles, or take NAME from now on."""
    file = ProfileFile()
    if name:
        with file.locked() as profiles:
            if name not in profiles.by_name:
                known = ", ".join(profiles.by_name) or "none"
                raise errors.NothingFitsError(f"There is no profile {name!r}: {known}.")
            profiles.current = name
            file.write(profiles)
        click.echo(f"Profile {name} is in use.")
        return
    profiles = file.read()
    if form in {"json", "yaml"}:
        shown = [
            {
                "name": each.name,
                "url": each.url,
                "username": each.username,
                "cluster": each.cluster,
                "current": each.name == profiles.current,
            }
            for each in profiles.by_name.values()
        ]
        show_data(form, shown)
        return
    if form == "name":
        click.echo("\n".join(profiles.by_name))
        return
    columns = [Column(head) for head in ("", "NAME", "URL", "USER", "CLUSTER")]
    rows = [
        (
            "*" if each.name == profiles.current else " ",
            each.name,
            each.url,
            each.username,
            each.cluster,
        )
        for each in profiles.by_name.values()
    ]
    for line in table(columns, rows):
        click.echo(line)


@click.command("use")
@click.argument("target", metavar="[ORG/]CLUSTER")
@pass_session
def use_(session: Session, target: str) -> None:
    """Choose the cluster that commands mean when they name none."""
    client = session.client
    if client.profile is None:
        raise click.UsageError("MLOPS_URL is set: set MLOPS_CLUSTER too, or log in.")
    organization, _, name = target.rpartition("/")
    organization, cluster = _found(client, organization, name)
    file = ProfileFile()
    with file.locked() as profiles:
        stored = profiles.by_name[client.profile.name]
        stored.organization, stored.cluster = organization, cluster
        file.write(profiles)
    click.echo(f"In use: {organization}" + (f"/{cluster}" if cluster else ""))


def _found(client: Client, organization: str, name: str) -> tuple[str, str]:
    """The organization and the cluster; a name that is an organization's chooses no cluster."""
    if organization:
        for cluster in client.clusters.list(organization=organization):
            if cluster["name"].lower() == name.lower():
                return cluster["organization"], cluster["name"]
        raise errors.NothingFitsError(f"{organization} has no cluster {name!r}.")
    try:
        cluster = client.clusters.get(name)
        return cluster["organization"], cluster["name"]
    except NotFoundError:
        for each in client.organizations.list():
            if each["name"].lower() == name.lower():
                return each["name"], ""
        raise


@click.command("whoami")
@output_option
@pass_session
def whoami_(session: Session, form: str) -> None:
    """Show the user, the platform, and the cluster in use."""
    client = session.client
    me = client.users.me()
    roles = "\n".join(
        f"{plain(each['organization'])}: {each['role']}" for each in me["memberships"]
    )
    pairs = [
        ("User", plain(me.username)),
        ("Platform", client.transport.url),
        ("Profile", client.profile.name if client.profile else "MLOPS_URL"),
        ("Cluster", session.cluster_or_none(None) or ""),
        ("Roles", roles),
    ]
    show_one(form, me, lambda: facts(pairs), name="username")
