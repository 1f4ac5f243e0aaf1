"""How long ``deploybench --help`` takes as a whole process: the median of fresh starts.

Aim: at most 0.25 s.

python -m benchmarks.startup [RUNS]
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

AIM_S = 0.25


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    command = shutil.which("deploybench") or str(Path(sys.executable).with_name("deploybench"))
    seconds = []
    for _ in range(runs + 1):
        start = perf_counter()
        subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(perf_counter() - start)
    warm = seconds[1:]
    middle = statistics.median(warm)
    print(
        f"first {seconds[0]:.3f} s; {runs} more: min {min(warm):.3f} s, median {middle:.3f} s, max "
        f"{max(warm):.3f} s"
    )
    print(f"aim {AIM_S} s: {'met' if middle <= AIM_S else 'missed'}")


if __name__ == "__main__":
    main()
