"""Whatever is handed in, it is taken or refused in words: no traceback, and nothing beyond the limits.

In the suite this is a small slice, the same every time. `make fuzz` looks for what nobody has met yet, in as many
examples a test as `FUZZ_EXAMPLES` says.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))

fuzzed = settings(
    max_examples=_EXAMPLES or 50,
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
