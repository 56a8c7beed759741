"""Lua that only workers run: one verb a file."""
