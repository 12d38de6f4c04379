"""`open` and `completion`."""

from __future__ import annotations

import click

from mlops import finding
from mlops.cli.session import Session, cluster_option, complete_deployments, pass_session

VARIABLE = "_MLOPS_COMPLETE"
SHELLS = {
    "bash": f'eval "$({VARIABLE}=bash_source mlops)"',
    "zsh": f'eval "$({VARIABLE}=zsh_source mlops)"',
    "fish": f"{VARIABLE}=fish_source mlops | source",
}


@click.command("open")
@click.argument("name", required=False, shell_complete=complete_deployments)
@cluster_option
@click.option("--print", "prints", is_flag=True, help="Print the address, and open nothing.")
@pass_session
def open_(session: Session, name: str | None, cluster: str | None, prints: bool) -> None:
    """Open the console's page of a deployment, or its first page, in the browser."""
    address = session.client.transport.url + "/"
    if name:
        where = session.cluster_or_none(cluster)
        row = finding.deployment(session.client, name, cluster=where)
        address += f"console/deployments/{row['id']}/"
    if prints or click.launch(address) != 0:
        click.echo(address)


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion_(shell: str) -> None:
    """Print the line for your shell's start-up file that completes commands and names."""
    click.echo(SHELLS[shell])
