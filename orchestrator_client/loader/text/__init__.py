"""From bytes to nodes: what a file says, and where, before anybody asks what it means."""
