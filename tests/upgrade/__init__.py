"""Whether a fleet can be upgraded: what each release has stored is read and finished, and two releases share a run."""
