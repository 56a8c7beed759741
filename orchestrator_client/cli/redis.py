"""Commands for whoever runs the Redis of a fleet: redis-acl, redis-scripts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator_client.cli.options import as_json_option, client_of, redis_option
from orchestrator_client.cli.show.text import json_text, plural

if TYPE_CHECKING:
    from orchestrator_client.redis_users import RedisUser


@click.command(name="redis-acl")
@click.option("--provider", "providers", metavar="NAME", multiple=True, help="A user for its model workers; repeat.")
@click.option("--namespace", metavar="NAME", help="Of which fleet; default: ORCHESTRATOR_NAMESPACE.")
@click.option("--db", type=click.IntRange(0), default=0, show_default=True, help="The fleet's database.")
@click.option(
    "--passwords",
    "folder",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="A file for each user's password; those that are missing are made, at random.",
)
@as_json_option
def redis_acl(providers: tuple[str, ...], namespace: str | None, db: int, folder: Path | None, as_json: bool) -> None:
    """Print the users of a fleet's Redis as its ACL file, each with what its role needs and no more.

    Roles: client, tool, model-PROVIDER, flower, operator, and loader, who alone gives scripts to Redis. Passwords are
    hashed; without --passwords, no user has one. The user that asks for none is off. Redis 7 or newer is needed.

    \b
    orchestrator redis-acl --provider openai --passwords secrets > users.acl
    redis-server --aclfile users.acl
    """
    from orchestrator_client.contract.names import check_namespace
    from orchestrator_client.contract.namespace import NAMESPACE
    from orchestrator_client.redis_users import acl_file, redis_users

    namespace = NAMESPACE if namespace is None else namespace
    check_namespace(namespace)
    users = redis_users(namespace, providers or ("openai", "anthropic", "google"), db)
    passwords = {} if folder is None else _passwords(users, folder)
    if as_json:
        click.echo(json_text({user.name: list(user.rules) for user in users}))
    else:
        click.echo(acl_file(users, passwords), nl=False)


@click.command(name="redis-scripts")
@click.option("--keep", is_flag=True, help="Go on, and load them again whenever Redis has started anew.")
@redis_option
def redis_scripts(keep: bool, url: str | None) -> None:
    """Load the scripts of this release into Redis, for a fleet whose users may not.

    Scripts of several releases lie side by side: load those of a new one before its first worker starts.
    """
    from orchestrator_client.redis_scripts import Loader

    with client_of(url) as client:
        loader = Loader(client.url)
    if keep:
        loader.keep(lambda said: click.echo(said, err=True))
    click.echo(f"loaded {plural(loader.load(), 'script')} that Redis did not have")
    loader.close()


def _passwords(users: Iterable[RedisUser], folder: Path) -> dict[str, str]:
    """The password of each user, from the file of its name; made where there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for user in users:
        if not (file := folder / user.name).exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(secrets.token_urlsafe(32))
    return {user.name: (folder / user.name).read_text("utf-8").strip() for user in users}
