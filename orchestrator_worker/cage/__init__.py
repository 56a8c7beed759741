"""Programs in a child process that holds them: limits, no network, and nothing of them left when they end."""
