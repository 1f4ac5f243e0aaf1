"""The command line with short time limits: ``python -m tests.faults.impatient run ...``.

A process that hangs is given up after a quarter of an hour, which no test can wait for.
"""

from __future__ import annotations

from deploybench.cli.main import main
from deploybench.measure import residence, scheduler

LIMIT_S = 8.0

if __name__ == "__main__":
    scheduler.SETUP_LIMIT_S = LIMIT_S
    residence.SETUP_LIMIT_S = LIMIT_S
    main()
