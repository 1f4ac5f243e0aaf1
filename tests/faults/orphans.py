"""A command that leaves processes behind: what the harness has to see."""

from __future__ import annotations

import subprocess
import sys

if __name__ == "__main__":
    subprocess.Popen(
        [sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True
    )
