"""MCP servers' tools: sessions with servers, kept for as long as they are of use, and calls over them."""
