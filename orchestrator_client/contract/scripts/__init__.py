"""Lua that both rooms run: one verb a file, each behind `clock.lua` and whatever else its first line says it needs."""

import hashlib
import re
from functools import cache
from importlib.resources import files

from orchestrator_client.contract.namespace import PREFIX

SHARED = ("instances", "family")
"""Parts that scripts of every package may need."""

_NEEDS = re.compile(r"-- needs: (.*)\n")


@cache
def source(name: str, package: str = __name__) -> str:
    """Text of one script, with the clock and the files that it needs in front of it: ours, or of its own package."""
    script = _text(name, package)
    needs = _NEEDS.match(script)
    parts = [_part(part, package) for part in (needs[1].split() if needs else ())]
    # Scripts name keys as they are without a namespace.
    return "\n".join([_text("clock", __name__), *parts, script]).replace("'orc:", f"'{PREFIX}orc:")


@cache
def digest(text: str) -> str:
    """The name by which Redis knows a script that it has."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _part(name: str, package: str) -> str:
    """What a script needs: a part of its package or of ours; or, as `name()`, another script of ours, as a function of
    its keys and arguments."""
    if name.endswith("()"):
        return f"local function {name[:-2]}(KEYS, ARGV)\n{_text(name[:-2], __name__)}\nend"
    return _text(name, __name__ if name in SHARED else package)


def _text(name: str, package: str) -> str:
    return files(package).joinpath(f"{name}.lua").read_text("utf-8")
