"""Does an image hold every library that its own libraries ask for?

A wheel may need a library that another one brought along for years and brings no more. pip resolves
all the same, and the provider fails to load on the user's machine. So the shared libraries in every
pinned wheel of an image are read: each entry that the loader would look for (DT_NEEDED) has to be
in one of the wheels, in the base image, or come with the driver.

    python -m docker.closure [PROFILE...]          reads every wheel (several GB), and writes
                                                   docker/PROFILE/libraries.json
    python -m docker.closure --check [PROFILE...]  holds the pins to what was read, no download
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from deploybench.hardware.profile import load_profile
from docker.pins import BUILT_HERE, DOCKER, pins_file, pins_of, profiles

LIBRARY = re.compile(r"\.so(\.\d+)*$")
NEWEST_GLIBC = 36
PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(NEWEST_GLIBC, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
)
"""pip takes a wheel for the tags that it is told, and for no older ones."""

BASE_IMAGE = {
    "glibc": (
        *("ld-linux-x86-64.so.2", "libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0"),
        *("librt.so.1", "libutil.so.1", "libresolv.so.2", "libanl.so.1"),
    ),
    "libgcc-s1": ("libgcc_s.so.1",),
    "libstdc++6": ("libstdc++.so.6",),
    "zlib1g": ("libz.so.1",),
    "libcrypt1": ("libcrypt.so.1",),
    "python": ("libpython3.so", "libpython3.10.so.1.0", "libpython3.11.so.1.0"),
}
"""By the package that brings them: Debian's essential ones, and Python's own image."""
WITH_COMPILER = {"libgomp1": ("libgomp.so.1",), "libquadmath0": ("libquadmath.so.0",)}
"""What ``apt-get install g++`` brings along, in the images that have one."""
DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")
"""Mounted into the container by NVIDIA's toolkit, of the host's driver."""
NEVER_LOADED = {
    "nvidia/*/libcufile_rdma.so*": "storage over RDMA",
    "nvidia/*/nvshmem_*.so*": "transports and bootstraps of NVSHMEM: several GPUs in several hosts",
    "nvidia/*/libnvshmem_*.so*": "the same",
    "openvino/libs/libopenvino_intel_gpu_plugin.so": "for GPUs of Intel",
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": "the classic TensorRT that it needs "
    "is no wheel of the package index; its runner says so",
}
"""Libraries of which nothing here is asked, by their place in the wheel."""


@dataclass(frozen=True)
class Libraries:
    """The shared libraries of one wheel: the names they can be found by, and for each file (by its
    place in the wheel) the names that it needs."""

    provides: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Missing:
    """A library that nothing in the image provides, and the files that need it."""

    name: str
    needed_by: tuple[str, ...]


def main() -> None:
    arguments = sys.argv[1:]
    checking = "--check" in arguments
    failed = False
    for profile in [name for name in arguments if name != "--check"] or profiles():
        if not checking:
            write_libraries(profile)
        problems = check_closure(profile)
        print(f"{profile}: {'; '.join(problems) or 'every library that is needed is there'}")
        failed |= bool(problems)
    sys.exit(int(failed))


def libraries_file(profile: str) -> Path:
    """What was read of the wheels of a profile's image."""
    return DOCKER / profile / "libraries.json"


def check_closure(profile: str) -> list[str]:
    """What is wrong: pins whose wheels were not read, and libraries that are missing."""
    path = libraries_file(profile)
    if not path.exists():
        return [f"{path.name} is not there; python -m docker.closure {profile} reads the wheels"]
    read = json.loads(path.read_text())
    pins = pins_of(pins_file(profile).read_text())
    problems = []
    for name in sorted(pins.keys() | read.keys()):
        if name in BUILT_HERE:
            continue
        version = read.get(name, {}).get("version")
        if pins.get(name) != version:
            problems.append(
                f"{name} {pins.get(name, 'is not pinned')}, and {version or 'nothing'} was read: "
                f"python -m docker.closure {profile}"
            )
    wheels = {
        name: Libraries(tuple(wheel["provides"]), wheel["needs"]) for name, wheel in read.items()
    }
    compiler = "g++" in (DOCKER / profile / "Dockerfile").read_text()
    for gap in missing(wheels, base_image(compiler)):
        problems.append(f"{gap.name} is nowhere, and {', '.join(gap.needed_by)} needs it")
    return problems


def base_image(compiler: bool) -> set[str]:
    """The libraries that are there before any wheel is; with a ``compiler`` a few more."""
    packages = {**BASE_IMAGE, **(WITH_COMPILER if compiler else {})}
    return {name for names in packages.values() for name in names}


def missing(wheels: Mapping[str, Libraries], base: Iterable[str]) -> list[Missing]:
    """The libraries that are needed, and that neither a wheel, the base nor the driver has."""
    there = {*base, *DRIVER}
    for wheel in wheels.values():
        there.update(wheel.provides)
    needed: dict[str, list[str]] = {}
    for distribution, wheel in wheels.items():
        for file, names in wheel.needs.items():
            if any(fnmatchcase(file, pattern) for pattern in NEVER_LOADED):
                continue
            for name in names:
                if name not in there:
                    needed.setdefault(name, []).append(f"{distribution}: {file}")
    return [Missing(name, tuple(sorted(files))) for name, files in sorted(needed.items())]


def write_libraries(profile: str) -> None:
    """Download the wheels of the pins one by one, and write down what their libraries are."""
    python = load_profile(profile).stack["python"]
    found = {}
    for name, version in pins_of(pins_file(profile).read_text()).items():
        if name in BUILT_HERE:
            continue
        with tempfile.TemporaryDirectory() as folder:
            wheel = _downloaded(name, version, python, Path(folder))
            libraries = libraries_in(wheel)
        found[name] = {
            "version": version,
            "provides": list(libraries.provides),
            "needs": {file: list(names) for file, names in libraries.needs.items()},
        }
        print(f"{profile}: {name} {version}: {len(libraries.needs)} libraries", flush=True)
    text = json.dumps(found, indent=1, sort_keys=True)
    libraries_file(profile).write_text(f"{text}\n")


def libraries_in(wheel: Path) -> Libraries:
    """The shared libraries of a wheel; a file with such a name that is none counts for nothing."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile

    provides: set[str] = set()
    needs: dict[str, tuple[str, ...]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            if not LIBRARY.search(name):
                continue
            try:
                binary = ELFFile(io.BytesIO(archive.read(name)))
            except ELFError:
                continue
            section = binary.get_section_by_name(".dynamic")
            provides.add(Path(name).name)
            needed = []
            if isinstance(section, DynamicSection):
                for tag in section.iter_tags():
                    if tag.entry.d_tag == "DT_NEEDED":
                        needed.append(tag.needed)
                    elif tag.entry.d_tag == "DT_SONAME":
                        provides.add(tag.soname)
            needs[name] = tuple(needed)
    return Libraries(tuple(sorted(provides)), needs)


def _downloaded(name: str, version: str, python: str, folder: Path) -> Path:
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)),
        *("--only-binary", ":all:", "--python-version", python, "--no-cache-dir"),
        *(part for tag in PLATFORMS for part in ("--platform", tag)),
        f"{name}=={version}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        sys.exit(f"{name}=={version} cannot be had: {done.stderr.strip()}")
    return wheels[0]


if __name__ == "__main__":
    main()
