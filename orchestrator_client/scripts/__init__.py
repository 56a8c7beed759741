"""Lua that only clients run: one verb a file."""
