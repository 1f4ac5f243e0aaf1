"""What an interpreter has: ``python -m deploybench.contracts.probe`` prints it as one line of JSON.

The versions of all distributions, and of each runner why it cannot be used, or null.
"""

from __future__ import annotations

import json
from importlib.metadata import distributions

from deploybench.contracts.registry import runners


def main() -> None:
    """Print it."""
    versions = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            versions[name.lower().replace("_", "-")] = distribution.version
    told = {
        name: {"problem": entry.problem, "remedy": entry.remedy}
        for name, entry in runners().items()
    }
    print(json.dumps({"versions": versions, "runners": told}))


if __name__ == "__main__":
    main()
