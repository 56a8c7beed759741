"""The engine room: workers that run plans as growing Celery chords."""
