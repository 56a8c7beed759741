"""Where tools come from, one file a source; each satisfies `tools.base.Source`."""
