"""What a step finds when it starts: its run, and what its templates see."""
