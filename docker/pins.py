"""Compiles docker/PROFILE/requirements.in into requirements.txt: every version, for the profile's
Python, with the hashes of its files. pip installs them with --require-hashes: whatever a package
index serves under these names later, it is what was pinned, or nothing.

Where a package is built in the image, what builds it is installed before it, from build.txt: the
same pins of setuptools. (pip takes no hashes from a file of constraints.)

python -m docker.pins [PROFILE...]           with the newest versions that fit (make docker-pins)
python -m docker.pins --check [PROFILE...]   changes nothing; exit 1 where the pins do not resolve,
or where some are
                                             missing or left over
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from deploybench.hardware.profile import load_profile

DOCKER = Path(__file__).resolve().parent
ROOT = DOCKER.parent
PLATFORM = "x86_64-manylinux_2_36"
"""Of the base images: Debian bookworm has glibc 2.36."""
BUILT_HERE = ("tensorrt-rtx", "tensorrt-rtx-cu13")
"""Have no wheels on the package index, but small source distributions that name those of the
library."""

BUILDERS = ("setuptools",)
HASH = "--hash="


def main() -> None:
    arguments = sys.argv[1:]
    checking = "--check" in arguments
    failed = False
    for profile in [name for name in arguments if name != "--check"] or profiles():
        if checking:
            problems = check_pins(profile, pins_file(profile))
        else:
            problem = write_pins(profile)
            problems = [problem] if problem else []
        print(f"{profile}: {'; '.join(problems) or 'ok'}")
        failed |= bool(problems)
    sys.exit(1 if failed else 0)


def profiles() -> list[str]:
    """The profiles that have an image."""
    return sorted(path.parent.name for path in DOCKER.glob("*/requirements.in"))


def pins_file(profile: str) -> Path:
    return DOCKER / profile / "requirements.txt"


def build_file(profile: str) -> Path:
    """What builds packages in the image; only there where one is built."""
    return DOCKER / profile / "build.txt"


def pins_of(text: str) -> dict[str, str]:
    """The versions of a requirements.txt by name. ValueError for a line that is no exact pin."""
    return dict(_pin(line) for line in _requirement_lines(text))


def hashes_of(text: str) -> dict[str, list[str]]:
    """The hashes of a requirements.txt by name, as they stand there: ``sha256:...``."""
    hashes: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        bare = line.strip().removesuffix("\\").strip()
        if bare.startswith(HASH):
            hashes[name].append(bare.removeprefix(HASH))
        elif bare and not bare.startswith("#"):
            name = bare.partition("==")[0]
            hashes[name] = []
    return hashes


def _requirement_lines(text: str) -> list[str]:
    """The lines that name something to install, without comments and hashes."""
    lines = []
    for line in text.splitlines():
        bare = line.partition("#")[0].strip().removesuffix("\\").strip()
        if bare and not bare.startswith(HASH):
            lines.append(bare)
    return lines


def write_pins(profile: str) -> str | None:
    """Compile again, upgrading what may move; what went wrong, or None."""
    pins = pins_file(profile)
    done = _compile(profile, "--upgrade", "--generate-hashes", "--output-file", str(pins))
    if done.returncode:
        return done.stderr.strip()
    write_build_file(profile)
    return None


def write_build_file(profile: str) -> None:
    """The part of the pins that builds packages, where the pins have one that is built."""
    text = pins_file(profile).read_text()
    if not pins_of(text).keys() & set(BUILT_HERE):
        build_file(profile).unlink(missing_ok=True)
        return
    build_file(profile).write_text(part_of(text, BUILDERS))


def part_of(text: str, names: Collection[str]) -> str:
    """The pins of these names with their hashes, as they stand in a requirements.txt."""
    kept: list[str] = []
    taken = False
    for line in text.splitlines():
        if not line.strip().startswith(HASH):
            taken = line.partition("==")[0] in names
        if taken:
            kept.append(line)
    return "\n".join(kept) + "\n"


def check_pins(profile: str, pinned: Path) -> list[str]:
    """What is wrong with a file of pins: it does not resolve, or something is missing or left
    over."""
    done = _compile(profile, "--constraint", str(pinned))
    if done.returncode:
        return [" ".join(done.stderr.split())]
    text = pinned.read_text()
    needed, present = pins_of(done.stdout), pins_of(text)
    missing = [f"{name} is not pinned" for name in sorted(needed.keys() - present.keys())]
    without = [f"{name} has no hash" for name, hashes in hashes_of(text).items() if not hashes]
    left_over = sorted(present.keys() - needed.keys())
    return [*missing, *without, *(f"{name} is pinned, nothing needs it" for name in left_over)]


def _compile(profile: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Resolve a profile's requirements and the project's own.

    Reads metadata; no wheel is downloaded.
    """
    python = load_profile(profile).stack["python"]
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "pyproject.toml",
        f"docker/{profile}/requirements.in",
        "--python-version",
        python,
        "--python-platform",
        PLATFORM,
        "--only-binary",
        ":all:",
        *(part for name in BUILT_HERE for part in ("--no-binary", name)),
        "--no-python-downloads",
        "--no-header",
        "--no-annotate",
        "--quiet",
        *options,
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _pin(line: str) -> tuple[str, str]:
    name, separator, version = line.partition("==")
    if not separator or not version or set(version) & set("*<>=,;~! "):
        raise ValueError(f"'{line}' is no exact pin; expected NAME==VERSION")
    return name, version


if __name__ == "__main__":
    main()
