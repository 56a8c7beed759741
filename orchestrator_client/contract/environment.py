"""Variables of the environment that hold secrets. Each may be a file instead, as container platforms hand them out."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from orchestrator_client.contract.errors import ConfigInvalid

FILE_SUFFIX = "_FILE"

URL_VARIABLE = "ORCHESTRATOR_REDIS_URL"
PASSWORD_VARIABLE = "ORCHESTRATOR_REDIS_PASSWORD"  # noqa: S105 - the variable's name


def variable(name: str) -> str:
    """What the variable holds; else the text of the file that `<name>_FILE` names, less one newline; else nothing.

    Raises:
        ConfigInvalid: the file cannot be read as text.
    """
    value, file = os.environ.get(name, ""), os.environ.get(name + FILE_SUFFIX, "")
    if value or not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigInvalid(name + FILE_SUFFIX, [f"cannot read {file}: {reason}"]) from None


def redis_url() -> str:
    """The URL of the fleet's Redis, with the password that stands apart from it; nothing if none is named.

    Raises:
        ConfigInvalid: a file that holds one of them cannot be read.
    """
    url, password = variable(URL_VARIABLE), variable(PASSWORD_VARIABLE)
    if not url or not password:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("redis", "rediss") or ":" in user:
        return url
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
