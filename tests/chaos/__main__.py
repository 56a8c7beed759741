"""python -m tests.chaos --fault F24 --workload fan --seed 7 · all · every-change · kills …"""

from __future__ import annotations

import argparse
import sys

from tests.chaos import campaigns, kills, table
from tests.chaos.catalogue import BY_ID, ON_EVERY_CHANGE, ROWS
from tests.chaos.workloads import WORKLOADS

CAMPAIGNS = {"kills": kills.kills, **campaigns.ALL}


def main() -> int:
    """0 if everything was sound, 1 if not."""
    parser = argparse.ArgumentParser("tests.chaos", description=__doc__)
    choices = ["fault", "all", "every-change", *CAMPAIGNS]
    parser.add_argument("campaign", nargs="?", default="fault", choices=choices)
    parser.add_argument("--fault", action="append", default=[], choices=list(BY_ID), help="may be repeated")
    parser.add_argument("--workload", default="", choices=["", *WORKLOADS])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=0, help="kills, runs or steps; each campaign has its own default")
    parser.add_argument("--runs", type=int, default=0, help="the same, of leaks")
    options = parser.parse_args()
    if options.campaign in CAMPAIGNS:
        return CAMPAIGNS[options.campaign](options.count or options.runs, options.seed)
    wanted = options.fault or {"all": list(BY_ID), "every-change": list(ON_EVERY_CHANGE)}.get(options.campaign, [])
    if not wanted:
        parser.error("name a fault, or a campaign")
    results = table.check([row for row in ROWS if row.id in wanted], options.workload, options.seed)
    if options.campaign == "all" or options.fault:
        table.write(results)
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
