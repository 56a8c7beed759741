"""Lua that both rooms run: one verb a file, each behind `clock.lua`."""

from functools import cache
from importlib.resources import files


@cache
def source(name: str, package: str = __name__) -> str:
    """Text of one script, with the clock in front of it."""
    clock = files(__name__).joinpath("clock.lua").read_text("utf-8")
    return clock + files(package).joinpath(f"{name}.lua").read_text("utf-8")
