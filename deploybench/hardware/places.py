"""Which CPUs a budget of threads belongs on.

One hardware thread of each core comes first: a second one of the same core adds little, and takes
from the first. Performance cores come before efficiency cores. A budget that fits into one NUMA
node stays there, so that its memory is near; a larger one fills whole nodes, the largest first.
Second hardware threads come last, where there are more threads than cores.

Linux tells the topology below /sys: the cores in ``cpu*/topology`` (cputopology.rst), the nodes in
``node*/cpulist``. The kinds of cores are told by the lists ``/sys/devices/cpu_core/cpus`` and
``cpu_atom/cpus`` (Intel's hybrid processors), else by ``cpu_capacity`` (Arm), else by the highest
clock. Other systems tell nothing of it.

Every function takes the folder that stands for ``/``, and nothing here raises for what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.hardware.quotas import ROOT, siblings_of, text_of

CPU_FOLDER = "sys/devices/system/cpu"
NODE_FOLDER = "sys/devices/system/node"
KINDS_BY_LIST = {
    "performance": "sys/devices/cpu_core/cpus",
    "efficiency": "sys/devices/cpu_atom/cpus",
    "low-power": "sys/devices/cpu_lowpower/cpus",
}
"""The strongest first."""
KINDS_BY_STRENGTH = ("performance", "efficiency")
STRENGTHS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")
"""What tells how strong a CPU is, below its folder."""
WEAKER = 0.8
"""Below this share of the strongest of its kind a core is of another. Efficiency cores clock at
0.7 of performance cores; the favoured cores of one kind lie within a tenth of the others."""


@dataclass(frozen=True)
class Place:
    """The CPUs of a budget, in ascending order, and ``why`` these, in words.

    ``nodes`` are the NUMA nodes that they are in, empty where the system does not tell; ``kinds``
    the kinds of their cores, the strongest first, empty where all cores are alike.
    """

    cpus: tuple[int, ...]
    why: str
    nodes: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Core:
    """A core: those of its hardware threads that may be used, and where it stands.

    ``rank`` is 0 for the strongest kind; ``kind`` is empty where all cores are alike.
    """

    cpus: tuple[int, ...]
    node: int | None = None
    rank: int = 0
    kind: str = ""


def place_of(threads: int, usable: Collection[int], root: Path = ROOT) -> Place | None:
    """Where so many threads belong among the usable CPUs.

    All of these where they are no more. None where the system does not tell which CPUs are cores
    of their own: any choice might then put two threads on one core.
    """
    if not usable or not all(siblings_of(cpu, root) for cpu in usable):
        return None
    cores = cores_of_cpus(usable, root)
    candidates = _in_order(cores)
    node = _node_that_fits(threads, cores)
    if node is not None:
        candidates = [core for core in candidates if core.node == node]
    cpus = _hardware_threads(candidates)[:threads]

    taken = set(cpus)
    chosen = [core for core in candidates if taken.intersection(core.cpus)]
    kinds = tuple(dict.fromkeys(core.kind for core in chosen if core.kind))
    nodes = tuple(sorted({core.node for core in chosen if core.node is not None}))
    several_nodes = len({core.node for core in cores}) > 1
    why = _why(chosen, len(cpus))
    if several_nodes and nodes:
        why += f" in {_nodes_in_words(nodes)}"
    return Place(tuple(sorted(cpus)), why, nodes, kinds)


def cores_of_cpus(cpus: Collection[int], root: Path = ROOT) -> list[Core]:
    """The cores that the CPUs belong to, by their lowest CPU.

    A CPU whose core is not known counts as one of its own.
    """
    by_core: dict[str, list[int]] = {}
    for cpu in sorted(cpus):
        by_core.setdefault(siblings_of(cpu, root) or str(cpu), []).append(cpu)
    kinds = _kinds(cpus, root)
    nodes = _nodes(root)
    cores = []
    for together in by_core.values():
        first = together[0]
        rank, kind = kinds.get(first, (0, ""))
        cores.append(Core(tuple(together), nodes.get(first), rank, kind))
    return cores


def first_of_each_core(threads: int, cpus: Collection[int], root: Path = ROOT) -> list[int]:
    """One CPU of each of the cores that a budget of so many threads belongs on.

    A CPU whose core is not known counts as a core.
    """
    place = place_of(threads, cpus, root)
    chosen: Collection[int] = sorted(cpus)[:threads]
    if place is not None:
        chosen = place.cpus
    return [core.cpus[0] for core in cores_of_cpus(chosen, root)]


def cpus_of_list(text: str) -> frozenset[int]:
    """The numbers of a list as the kernel writes it: ``0-3,8``."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def list_of_cpus(cpus: Collection[int]) -> str:
    """The CPUs as the kernel writes them, in ascending order: ``0-3,8``."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][-1] + 1:
            runs[-1].append(cpu)
        else:
            runs.append([cpu])
    parts = []
    for run in runs:
        if len(run) == 1:
            parts.append(str(run[0]))
        else:
            parts.append(f"{run[0]}-{run[-1]}")
    return ",".join(parts)


def cpus_in_words(cpus: Collection[int]) -> str:
    """``CPU 3``, ``CPUs 0-3,8``."""
    if len(cpus) == 1:
        return f"CPU {list_of_cpus(cpus)}"
    return f"CPUs {list_of_cpus(cpus)}"


def _in_order(cores: Sequence[Core]) -> list[Core]:
    """The strongest first; of one kind those of the node with most cores, so that nodes fill up."""
    size = _cores_of_nodes(cores)
    return sorted(
        cores, key=lambda core: (core.rank, -size[core.node], core.node or 0, core.cpus[0])
    )


def _node_that_fits(threads: int, cores: Sequence[Core]) -> int | None:
    """The node in which every thread has a core of its own; None where there is no such node.

    Of several it is the one with most of the strongest cores that the budget can use, then the
    one with most cores.
    """
    size = _cores_of_nodes(cores)
    fitting = [node for node, count in size.items() if node is not None and count >= threads]
    if not fitting:
        return None

    def merit(node: int) -> tuple[int, int, int]:
        strongest = sum(core.node == node and core.rank == 0 for core in cores)
        return min(strongest, threads), size[node], -node

    return max(fitting, key=merit)


def _cores_of_nodes(cores: Sequence[Core]) -> dict[int | None, int]:
    counts: dict[int | None, int] = {}
    for core in cores:
        counts[core.node] = counts.get(core.node, 0) + 1
    return counts


def _hardware_threads(cores: Sequence[Core]) -> list[int]:
    """The first hardware thread of every core, then the second ones, and so on."""
    most = max(len(core.cpus) for core in cores)
    cpus = []
    for position in range(most):
        cpus += [core.cpus[position] for core in cores if len(core.cpus) > position]
    return cpus


def _kinds(cpus: Collection[int], root: Path) -> dict[int, tuple[int, str]]:
    """Rank and name of the kind of core that each CPU is of; empty where all are alike."""
    lists = {name: cpus_of_list(text_of(root / path)) for name, path in KINDS_BY_LIST.items()}
    if sum(bool(members) for members in lists.values()) > 1:
        kinds = {}
        for rank, (name, members) in enumerate(lists.items()):
            for cpu in members:
                kinds[cpu] = (rank, name)
        return kinds
    for file in STRENGTHS:
        strengths = _strengths(cpus, root, file)
        if strengths:
            return _kinds_by_strength(strengths)
    return {}


def _strengths(cpus: Collection[int], root: Path, file: str) -> dict[int, int]:
    """The figure of each CPU; empty where one of them has none."""
    strengths = {}
    for cpu in cpus:
        text = text_of(root / CPU_FOLDER / f"cpu{cpu}" / file)
        if not text.isdigit():
            return {}
        strengths[cpu] = int(text)
    return strengths


def _kinds_by_strength(strengths: Mapping[int, int]) -> dict[int, tuple[int, str]]:
    """A kind ends where a core is much weaker than its strongest; whatever is weaker than the
    first kind counts as efficiency cores, of which the stronger ones still come first."""
    kinds: dict[int, tuple[int, str]] = {}
    rank = 0
    strongest = max(strengths.values())
    for cpu in sorted(strengths, key=lambda cpu: (-strengths[cpu], cpu)):
        if strengths[cpu] < WEAKER * strongest:
            rank += 1
            strongest = strengths[cpu]
        kinds[cpu] = (rank, KINDS_BY_STRENGTH[min(rank, 1)])
    if rank == 0:
        return {}
    return kinds


def _nodes(root: Path) -> dict[int, int]:
    """The NUMA node of each CPU; empty where the system does not tell."""
    nodes = {}
    for folder in (root / NODE_FOLDER).glob("node*"):
        number = re.fullmatch(r"node(\d+)", folder.name)
        if number is None:
            continue
        for cpu in cpus_of_list(text_of(folder / "cpulist")):
            nodes[cpu] = int(number[1])
    return nodes


def _why(chosen: Sequence[Core], threads: int) -> str:
    """What the CPUs are: ``one hardware thread of each of 4 performance cores``."""
    counts: dict[str, int] = {}
    for core in chosen:
        counts[core.kind] = counts.get(core.kind, 0) + 1
    if len(chosen) == 1:
        cores = f"{chosen[0].kind} core".strip()
    else:
        parts = [f"{count} {kind}".strip() for kind, count in counts.items()]
        cores = f"{' and '.join(parts)} cores"
    if threads > len(chosen):
        of = "one core" if len(chosen) == 1 else cores
        return f"{threads} hardware threads of {of}"
    if all(len(core.cpus) == 1 for core in chosen):
        return f"one {cores}" if len(chosen) == 1 else cores
    if len(chosen) == 1:
        return f"one hardware thread of one {cores}"
    return f"one hardware thread of each of {cores}"


def _nodes_in_words(nodes: Sequence[int]) -> str:
    if len(nodes) == 1:
        return f"node {nodes[0]}"
    return f"nodes {list_of_cpus(nodes)}"
