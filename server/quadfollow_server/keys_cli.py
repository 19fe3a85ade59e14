"""The command ``keys``: let clients in, list them, shut them out again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

FOLDER = click.Path(path_type=Path, file_okay=False)
keys_option = click.option("--keys", "folder", type=FOLDER, required=True, help="Folder of keys, as for `serve`.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def keys() -> None:
    """Make, list and revoke the keys that `serve --keys` asks for.

    A client has an API key for HTTP and a Curve key pair for ZeroMQ. A running server takes changes at once.
    """


@keys.command()
@click.argument("name")
@keys_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    help="The client's file; - for standard output. Default: NAME.json.",
)
@json_option
def new(name: str, folder: Path, out: Path | None, as_json: bool) -> None:
    """Let client NAME in: print its API key, this once, and write its key file for QUADFOLLOW_KEY_FILE."""
    from quadfollow_core.client_key import VARIABLE
    from quadfollow_core.errors import BadInput
    from quadfollow_server.keys import new_client, revoke_client, write_secret

    path = out or Path(f"{name}.json")
    if str(path) == "-":
        return click.echo(new_client(folder, name).to_json(), nl=False)
    if path.exists():
        raise BadInput(f"{path} is there already: choose another file with --out")
    key = new_client(folder, name)
    try:
        write_secret(path, key.to_json())
    except OSError as error:
        revoke_client(folder, name)
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error
    told = {"name": name, "file": str(path), "api_key": key.api_key, "public_key": key.public_key}
    if as_json:
        return click.echo(json.dumps(told | {"server_key": key.server_key}))
    click.echo(f"API key of {name}, shown this once: {key.api_key}")
    return click.echo(f"key file for both doors: {path}; quadfollow's own clients find it by {VARIABLE}={path}")


@keys.command(name="list")
@keys_option
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """List the clients that may come in; no secrets."""
    from quadfollow_server.keys import read_clients, read_server_pair

    server_key, clients = read_server_pair(folder).public_key, read_clients(folder)
    if as_json:
        rows = [{key: value for key, value in asdict(one).items() if key != "api_key_sha256"} for one in clients]
        return click.echo(json.dumps({"server_key": server_key, "clients": rows}))
    click.echo(f"the server's public key: {server_key}")
    for one in clients:
        click.echo(f"{one.name:24} since {one.created}  {one.public_key}")
    return None


@keys.command()
@click.argument("name")
@keys_option
def revoke(name: str, folder: Path) -> None:
    """Let client NAME in no more, on either door."""
    from quadfollow_server.keys import revoke_client

    revoke_client(folder, name)
    click.echo(f"{name} may come in no more")
