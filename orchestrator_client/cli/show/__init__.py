"""How runs and plans are shown to a person: trees, tables, lines."""
