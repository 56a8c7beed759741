"""The kinds of steps: what performs them, one file each."""
