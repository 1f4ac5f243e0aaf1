"""Which CPUs a budget of threads belongs on, on machines of all kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from deploybench.hardware.places import (
    Place,
    cpus_of_list,
    first_of_each_core,
    list_of_cpus,
    place_of,
)

Files = Mapping[str, str]
NOTHING: Files = {}
CPU = "sys/devices/system/cpu/cpu{}"


def machine(root: Path, cores: Sequence[str], files: Files = NOTHING) -> Path:
    """A tree of /sys files; ``cores`` lists the hardware threads of each core."""
    every = dict(files)
    for siblings in cores:
        for cpu in cpus_of_list(siblings):
            every[f"{CPU.format(cpu)}/topology/core_cpus_list"] = siblings
    for name, text in every.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def each(file: str, values: Sequence[int]) -> Files:
    """The same file of every CPU."""
    return {f"{CPU.format(cpu)}/{file}": str(value) for cpu, value in enumerate(values)}


def nodes(*lists: str) -> Files:
    return {
        f"sys/devices/system/node/node{number}/cpulist": text for number, text in enumerate(lists)
    }


TWO_CORES = (["0", "1"], nodes("0-1"))
HYPER_THREADS = ([f"{core},{core + 8}" for core in range(8)], nodes("0-15"))
NEIGHBOURS = (["0-1", "2-3", "4-5", "6-7"], {})
"""The other usual way to number hardware threads."""
# Efficiency cores first, so that their numbers do not decide.
HYBRID = (
    ["0", "1", "2", "3", "4-5", "6-7"],
    {"sys/devices/cpu_atom/cpus": "0-3", "sys/devices/cpu_core/cpus": "4-7", **nodes("0-7")},
)
BIG_LITTLE = ([str(cpu) for cpu in range(8)], each("cpu_capacity", [250] * 4 + [871] * 3 + [1024]))
THREE_KINDS = ([str(cpu) for cpu in range(4)], each("cpu_capacity", [200, 200, 512, 1024]))
CLOCKS = (
    ["0-1", "2-3", "4", "5"],
    each("cpufreq/cpuinfo_max_freq", [4_900_000] * 4 + [3_600_000] * 2),
)
FAVOURED = (
    ["0", "1", "2", "3"],
    each("cpufreq/cpuinfo_max_freq", [4_500_000, 4_500_000, 4_800_000, 4_700_000]),
)
TWO_NODES = (
    [f"{core},{core + 8}" for core in range(8)],
    nodes("0-3,8-11", "4-7,12-15"),
)
UNEVEN_NODES = ([str(cpu) for cpu in range(8)], nodes("0-2", "3-7"))
KINDS_IN_NODES = (
    [str(cpu) for cpu in range(8)],
    {**each("cpu_capacity", [1024, 250, 250, 250] * 2), **nodes("0-3", "4-7")},
)
MEMORY_NODE = (["0", "1", "2", "3"], nodes("0-3", ""))


def case(
    name: str,
    tree: tuple[Sequence[str], Files],
    threads: int,
    usable: str,
    cpus: str,
    why: str,
    nodes: tuple[int, ...] = (),
    kinds: tuple[str, ...] = (),
) -> object:
    expected = Place(tuple(sorted(cpus_of_list(cpus))), why, nodes, kinds)
    return pytest.param(tree, threads, usable, expected, id=name)


P, E = "performance", "efficiency"


@pytest.mark.parametrize(
    ("tree", "threads", "usable", "expected"),
    [
        case("2-core VM", TWO_CORES, 2, "0-1", "0-1", "2 cores", (0,)),
        case("one of two cores", TWO_CORES, 1, "0-1", "0", "one core", (0,)),
        case(
            "a thread a core",
            HYPER_THREADS,
            4,
            "0-15",
            "0-3",
            "one hardware thread of each of 4 cores",
            (0,),
        ),
        case(
            "a thread a core, others numbered",
            NEIGHBOURS,
            2,
            "0-7",
            "0,2",
            "one hardware thread of each of 2 cores",
        ),
        case(
            "more threads than cores",
            NEIGHBOURS,
            6,
            "0-7",
            "0-4,6",
            "6 hardware threads of 4 cores",
        ),
        case("both of one core", NEIGHBOURS, 2, "2-3", "2-3", "2 hardware threads of one core"),
        case(
            "one of one core",
            NEIGHBOURS,
            1,
            "2-3",
            "2",
            "one hardware thread of one core",
        ),
        case(
            "performance cores first",
            HYBRID,
            2,
            "0-7",
            "4,6",
            "one hardware thread of each of 2 performance cores",
            (0,),
            (P,),
        ),
        case(
            "efficiency cores before second hardware threads",
            HYBRID,
            4,
            "0-7",
            "0-1,4,6",
            "one hardware thread of each of 2 performance and 2 efficiency cores",
            (0,),
            (P, E),
        ),
        case(
            "efficiency cores alone in the mask",
            HYBRID,
            2,
            "0-3",
            "0-1",
            "2 efficiency cores",
            (0,),
            (E,),
        ),
        case(
            "one performance core",
            HYBRID,
            1,
            "3-4",
            "4",
            "one performance core",
            (0,),
            (P,),
        ),
        case("big and little", BIG_LITTLE, 2, "0-7", "4-5", "2 performance cores", (), (P,)),
        case(
            "three kinds",
            THREE_KINDS,
            3,
            "0-3",
            "0,2-3",
            "1 performance and 2 efficiency cores",
            (),
            (P, E),
        ),
        case(
            "told by their clocks",
            CLOCKS,
            3,
            "0-5",
            "0,2,4",
            "one hardware thread of each of 2 performance and 1 efficiency cores",
            (),
            (P, E),
        ),
        case("favoured cores are no other kind", FAVOURED, 2, "0-3", "0-1", "2 cores"),
        case(
            "within a node",
            TWO_NODES,
            3,
            "0-15",
            "0-2",
            "one hardware thread of each of 3 cores in node 0",
            (0,),
        ),
        case(
            "the node with most of what is left",
            TWO_NODES,
            2,
            "0-1,4-7",
            "4-5",
            "2 cores in node 1",
            (1,),
        ),
        case(
            "whole nodes, the larger first",
            UNEVEN_NODES,
            6,
            "0-7",
            "0,3-7",
            "6 cores in nodes 0-1",
            (0, 1),
        ),
        case(
            "one node before the strongest cores of several",
            KINDS_IN_NODES,
            3,
            "0-7",
            "0-2",
            "1 performance and 2 efficiency cores in node 0",
            (0,),
            (P, E),
        ),
        case("a node without CPUs", MEMORY_NODE, 2, "0-3", "0-1", "2 cores", (0,)),
        case(
            "a mask",
            HYPER_THREADS,
            2,
            "5,6,13,14",
            "5-6",
            "one hardware thread of each of 2 cores",
            (0,),
        ),
        case("fewer than the threads", TWO_CORES, 3, "0-1", "0-1", "2 cores", (0,)),
    ],
)
def test_threads_have_cores_of_their_own_the_strongest_in_one_node(
    tmp_path: Path,
    tree: tuple[Sequence[str], Files],
    threads: int,
    usable: str,
    expected: Place,
) -> None:
    root = machine(tmp_path, *tree)
    assert place_of(threads, cpus_of_list(usable), root) == expected


def test_there_is_no_place_where_the_system_does_not_tell_its_cores(tmp_path: Path) -> None:
    """As on macOS, and in some sandboxes."""
    assert place_of(2, {0, 1, 2, 3}, tmp_path) is None
    assert place_of(2, {0, 4}, machine(tmp_path, ["0", "1"])) is None


@pytest.mark.parametrize(
    ("threads", "cpus", "expected"),
    [
        (2, {4, 5, 6, 8, 9}, [4, 5]),
        (3, {4, 5, 6, 8, 9}, [4, 5, 6]),
        (1000, {4, 5, 6, 8, 9}, [4, 5, 6]),
        (2, {4, 8}, [4]),
    ],
)
def test_cores_of_a_budget_have_one_cpu_each(
    tmp_path: Path, threads: int, cpus: set[int], expected: list[int]
) -> None:
    root = machine(tmp_path, ["4,8", "5,9", "6"])
    assert first_of_each_core(threads, cpus, root) == expected


def test_cpu_whose_core_is_not_known_is_a_core(tmp_path: Path) -> None:
    assert first_of_each_core(2, {3, 1, 7}, tmp_path) == [1, 3]


@pytest.mark.parametrize("text", ["0-3,8", "5", "0,2,4", "1-2,4-5", ""])
def test_list_is_read_and_written_as_the_kernel_does(text: str) -> None:
    assert list_of_cpus(cpus_of_list(text)) == text
