"""``ray start`` that stays on this machine: ``python -m deploybench.fleet.ray_start start ...``.

Ray puts the machine's own address in the place of 127.0.0.1, and then listens on every interface,
unless it takes the machine for one without a network of its own (its way on macOS, by
``RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0``): but then it refuses a second node. Here both hold: the
address is the loopback's, and nodes may join. Who starts a node looks at what it then listens on.
"""

from __future__ import annotations

from typing import Any

LOCALHOST = "127.0.0.1"


def main() -> None:
    """Run Ray's own command line on the loopback's address."""
    import ray._private.ray_constants as constants
    import ray._private.services as services
    from ray.scripts import scripts

    def loopback(address: Any = None) -> str:
        return LOCALHOST

    services.get_node_ip_address = loopback
    constants.ENABLE_RAY_CLUSTER = True
    scripts.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
