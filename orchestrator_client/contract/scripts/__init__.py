"""Lua that both rooms run: one verb a file, each behind `clock.lua` and whatever else its first line says it needs."""

import re
from functools import cache
from importlib.resources import files

_NEEDS = re.compile(r"-- needs: (.*)\n")


@cache
def source(name: str, package: str = __name__) -> str:
    """Text of one script, with the clock and the files that it needs, of its own package, in front of it."""
    folder = files(package)
    script = folder.joinpath(f"{name}.lua").read_text("utf-8")
    needs = _NEEDS.match(script)
    parts = [folder.joinpath(f"{part}.lua").read_text("utf-8") for part in (needs[1].split() if needs else ())]
    return "\n".join([files(__name__).joinpath("clock.lua").read_text("utf-8"), *parts, script])
