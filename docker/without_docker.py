"""The images without Docker: what their Dockerfiles say is carried out in a fresh interpreter.

    python -m docker.without_docker [PROFILE...] [--folder build/images] [--out docs/images.md]

For each profile an environment of the image's Python is made (of the PATH or of pyenv), every ``pip
install`` of the Dockerfile runs in it with the pins, and it is used: ``deploybench doctor``, two
artifacts that were exported here measured on the CPU, and ``ldd`` of each library that loads CUDA,
with the folders that the image tells its loader. What needs root or Debian's archive is not carried
out, and the table says so. Takes up to 8 GB a profile and removes them (``--keep`` does not); rows
of profiles that were not asked for stay as they are. Exit 1 where a step fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from docker.pins import DOCKER, ROOT, build_file, pins_file, pins_of, profiles

MODEL, RUNNERS = "timm:test_vit", "pytorch,onnxruntime"
SOURCE = "/opt/deploybench/source"
PINS = "/opt/deploybench/requirements.txt"
BUILDERS = "/opt/deploybench/build.txt"
OF_THE_DRIVER = ("libcuda.so.1", "libnvidia-ml.so.1")
PROVIDERS = (
    "torch/lib/libtorch_cuda.so",
    "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    "tensorrt*/libnvinfer.so*",
    "tensorrt*/libtensorrt_rtx.so*",
)
"""What a runtime loads when it is to compute on a GPU."""
LOADER_FOLDERS = ("**/nvidia/*/lib", "tensorrt*")
"""As the Dockerfiles tell ldconfig."""
COLUMNS = ("image", "Python", "pins", "doctor", "measured on the CPU", "ldd", "not carried out")
INTRODUCTION = """# The images without Docker

`python -m docker.without_docker` carries out the steps of each Dockerfile in a fresh interpreter of
its Python: the pins are installed, `deploybench doctor` runs, artifacts that were exported
elsewhere are measured on the CPU, and `ldd` looks for the libraries of whatever loads CUDA, in the
folders that the image tells its loader. What needs root, Debian's archive or a driver is named and
was not done: the images themselves have not been built.
"""


@dataclass
class Found:
    """What one image showed; ``failed`` says which steps did not work, and how."""

    profile: str
    python: str = "–"
    pins: str = "–"
    doctor: str = "–"
    measured: str = "–"
    libraries: str = "–"
    left_out: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def row(self) -> str:
        left_out = "; ".join(dict.fromkeys(self.left_out))
        cells = (self.profile, self.python, self.pins, self.doctor, self.measured, self.libraries)
        return f"| {' | '.join(cell.replace('|', '/') for cell in (*cells, left_out))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path("build/images"))
    parser.add_argument("--out", type=Path, default=Path("docs/images.md"))
    parser.add_argument("--keep", action="store_true", help="leave the environments")
    options = parser.parse_args()
    rows = {}
    if options.out.exists():
        rows = rows_in(options.out.read_text())
    failed = False
    for profile in options.profiles or profiles():
        folder = options.folder.absolute() / profile
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        found = carry_out(profile, folder)
        if not options.keep:
            shutil.rmtree(folder)
        for failure in found.failed:
            print(f"{profile}: {failure}", file=sys.stderr)
        failed |= bool(found.failed)
        rows[profile] = found.row()
        print(rows[profile], flush=True)
        options.out.write_text(document(rows))
    sys.exit(1 if failed else 0)


def carry_out(profile: str, folder: Path) -> Found:
    """The steps of one Dockerfile, and what the environment shows then."""
    steps = steps_of((DOCKER / profile / "Dockerfile").read_text())
    found = Found(profile)
    version = wanted_python(steps)
    python = find_python(version)
    if python is None:
        found.failed.append(f"no Python {version} was found, on the PATH or of pyenv")
        found.python = f"no {version}"
        return found
    _done(found, [python, "-m", "venv", folder / "environment"])
    inside = folder / "environment" / "bin" / "python"
    found.python = _said(inside, "import platform; print(platform.python_version())")
    for keyword, text in steps:
        for command in commands_of(keyword, text):
            words = pip_words(command, profile)
            if words is None:
                found.left_out.append(command.split()[0])
                continue
            _done(found, [inside, "-m", "pip", "--disable-pip-version-check", *words])
    if found.failed:
        found.pins = "not installed"
        return found
    count = len(pins_of(pins_file(profile).read_text()))
    found.pins = f"all {count} installed"
    found.doctor = doctor(found, inside, folder)
    found.measured = measured(found, inside, folder, profile)
    found.libraries = missing_libraries(inside)
    return found


def steps_of(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile: keyword and text, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (keyword, " ".join(rest.split()))
        for keyword, _, rest in (line.partition(" ") for line in joined.splitlines())
        if rest
    ]


def wanted_python(steps: Sequence[tuple[str, str]]) -> str:
    """3.11 of ``FROM python:3.11.10-slim-bookworm``."""
    (image,) = [text for keyword, text in steps if keyword == "FROM"]
    matched = re.match(r"python:(\d+\.\d+)", image)
    if matched is None:
        raise ValueError(f"FROM {image} names no Python")
    return matched[1]


def commands_of(keyword: str, text: str) -> list[str]:
    """The commands of a RUN; what else an instruction says has no command."""
    if keyword != "RUN":
        return []
    return [part.strip() for part in text.split("&&")]


def pip_words(command: str, profile: str) -> list[str] | None:
    """The words behind ``pip`` with the paths of this machine; None for another command."""
    words = shlex.split(command)
    if words[0] != "pip":
        return None
    places = {
        SOURCE: str(ROOT),
        PINS: str(pins_file(profile)),
        BUILDERS: str(build_file(profile)),
    }
    return [places.get(word, word) for word in words[1:]]


def find_python(version: str) -> str | None:
    """A Python of that version that runs: a name on the PATH may be a shim for none."""
    pattern = f".pyenv/versions/{version}.*/bin/python{version}"
    candidates = [*sorted(map(str, Path.home().glob(pattern))), shutil.which(f"python{version}")]
    for python in candidates:
        if python and _said(python, "import sys; print('%d.%d' % sys.version_info[:2])") == version:
            return python
    return None


def doctor(found: Found, inside: Path, folder: Path) -> str:
    """How many backends work, by the report of ``deploybench doctor``."""
    command = [inside.with_name("deploybench"), "doctor", "-w", folder / "w", "--json"]
    text = _done(found, command, cwd=folder)
    return "ran" if text.strip().startswith("{") else "failed"


def measured(found: Found, inside: Path, folder: Path, profile: str) -> str:
    """What ran and agreed on the CPU, of artifacts that were exported here."""
    here, pack = folder / "here", folder / "artifacts.dbpack"
    ours = [sys.executable, "-m", "deploybench"]
    place = ("-w", here, "--model", MODEL)
    _done(found, [*ours, "export", "--profile", profile, "--backend", "pytorch,onnx", *place])
    _done(found, [*ours, "pack", "--out", pack, *place])
    run = ("run", pack, "--trust", "-w", folder / "w", "--runner", RUNNERS, "--device", "cpu")
    brief = ("--profile", "host", "--rounds", "1", "--duration", "200ms", "--json")
    text = _done(found, [inside.with_name("deploybench"), *run, *brief], cwd=folder)
    try:
        rows = json.loads(text)
    except ValueError:
        return "failed"
    return ", ".join(
        f"{row['runner']} {row['parity_max_error']:.0e}"
        if row["parity_max_error"] is not None
        else f"{row['runner']}: {row['reason']}"
        for row in rows
    )


def missing_libraries(inside: Path) -> str:
    """The libraries that ``ldd`` does not find for what loads CUDA, but those of the driver."""
    site = Path(_said(inside, "import sysconfig; print(sysconfig.get_paths()['purelib'])"))
    folders = [str(path) for pattern in LOADER_FOLDERS for path in site.glob(pattern)]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(folders)}
    looked_at, missing = 0, set()
    for library in (path for pattern in PROVIDERS for path in site.glob(pattern)):
        looked_at += 1
        done = subprocess.run(
            ["ldd", library], env=environment, capture_output=True, text=True, check=False
        )
        missing |= not_found(done.stdout)
    if not looked_at:
        return "nothing loads CUDA"
    return f"{looked_at} read, missing: {', '.join(sorted(missing)) or 'none'}"


def not_found(text: str) -> set[str]:
    """The names that ``ldd`` says are not found, without the driver's."""
    names = set(re.findall(r"^\s*(\S+) => not found", text, re.MULTILINE))
    return names - set(OF_THE_DRIVER)


def rows_in(text: str) -> dict[str, str]:
    """The lines of the table in a document, by the profile."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines[1:]}


def document(rows: dict[str, str]) -> str:
    """The Markdown of the table; images that were not tried are named below it."""
    lines = [rows[name] for name in sorted(rows)]
    untried = [name for name in profiles() if name not in rows]
    head = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    text = "\n".join([INTRODUCTION, *head, *lines, ""])
    if untried:
        text += f"\nNot tried: {', '.join(untried)}.\n"
    return text


def _done(found: Found, command: Sequence[object], cwd: Path | None = None) -> str:
    """What the command printed; a failure is noted with its last line."""
    words = [str(word) for word in command]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=cwd or ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        found.failed.append(f"{' '.join(words[1:5])}: {said[-1]}")
    return done.stdout


def _said(python: str | Path, program: str) -> str:
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
