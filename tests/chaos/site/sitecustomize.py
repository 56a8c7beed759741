"""Python runs this at its start, in every process of a worker: where a crash is asked for, it is prepared."""

import os

if os.environ.get("CHAOS_CRASH"):
    from tests.chaos.crash_points import arm

    arm(os.environ["CHAOS_CRASH"])
