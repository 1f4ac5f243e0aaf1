"""Compiles docker/PROFILE/requirements.in into requirements.txt: every version, for the profile's
Python.

python -m docker.pins [PROFILE...]           with the newest versions that fit (make docker-pins)
python -m docker.pins --check [PROFILE...]   changes nothing; exit 1 where the pins do not resolve,
or where some are
                                             missing or left over
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from deploybench.hardware.profile import load_profile

DOCKER = Path(__file__).resolve().parent
ROOT = DOCKER.parent
PLATFORM = "x86_64-manylinux_2_36"
"""Of the base images: Debian bookworm has glibc 2.36."""
BUILT_HERE = ("tensorrt-rtx", "tensorrt-rtx-cu13")
"""Have no wheels on the package index, but small source distributions that name those of the
library."""


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


def pins_of(text: str) -> dict[str, str]:
    """The versions of a requirements.txt by name. ValueError for a line that is no exact pin."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return dict(_pin(line) for line in lines if line)


def write_pins(profile: str) -> str | None:
    """Compile again, upgrading what may move; what went wrong, or None."""
    done = _compile(profile, "--upgrade", "--output-file", str(pins_file(profile)))
    return done.stderr.strip() if done.returncode else None


def check_pins(profile: str, pinned: Path) -> list[str]:
    """What is wrong with a file of pins: it does not resolve, or something is missing or left
    over."""
    done = _compile(profile, "--constraint", str(pinned))
    if done.returncode:
        return [" ".join(done.stderr.split())]
    needed, present = pins_of(done.stdout), pins_of(pinned.read_text())
    missing = [f"{name} is not pinned" for name in sorted(needed.keys() - present.keys())]
    return missing + [
        f"{name} is pinned, nothing needs it" for name in sorted(present.keys() - needed.keys())
    ]


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
