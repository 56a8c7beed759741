"""The life of a worker process: what runs in it, what it holds, and how it ends."""
