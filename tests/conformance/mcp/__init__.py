"""MCP servers, real ones, as the worker meets them."""
