"""Shared fixtures: a command line in a process of its own, and one workspace with a tiny model in
every format."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.signature import sign
from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all, usable_backends
from deploybench.export.request import ExportRequest, ModelRequest
from tests.known_peaks import keep_knowing_peaks

ROOT = Path(__file__).parents[1]
TINY = "timm:test_vit"
MEASURES = "measures"
"""The mark of what looks at a clock, which a session of its own does (Makefile, ``test``)."""
DEAR_FILES = (
    "contracts/test_backends_contract.py",  # exports what other files use, too
    "models/test_zoo_exports.py",
    "runs/test_real_model.py",
    "faults/test_faults.py",
    "demo/test_page.py",
    "docs/test_site.py",
    "exporters/test_quantised.py",
    "exporters/test_tensorrt_rtx.py",
    "cli/test_live.py",
    "runs/test_visiting.py",
    "pages/test_browser.py",
    "exporters/test_torch_quantised.py",
    "testing/test_plugin.py",
    "fleet/test_ray.py",
    "benchmarks/test_quality_simulated.py",
    "cli/test_models.py",
    "docs/test_python_api.py",
    "cli/test_run.py",
    "archive/test_object_store.py",
)
"""Files that take longer than others of as many tests, the longest first."""
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_configure(config: pytest.Config) -> None:
    """What child processes find in their environment, whoever starts the tests and how."""
    # pytest-xdist tells its workers a terminal's width; without one a command prints 112 columns.
    os.environ.pop("COLUMNS", None)
    # Hundreds of children import torch, which takes three times as long when it is compiled again:
    # where no compiled modules may lie beside the sources, they are kept in a folder of the tests.
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and config.cache is not None:
        os.environ["PYTHONPYCACHEPREFIX"] = str(config.cache.mkdir("bytecode"))
    # What the tests export is signed, also for the sessions to come that find it in the cache.
    if config.cache is not None:
        os.environ["DEPLOYBENCH_STATE"] = str(config.cache.mkdir("state"))
    # Two workers of two threads each on two cores spend their time waiting for each other.
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # pytest-xdist would begin with the files of the most tests; the order is that of collection.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers that share the files begin with the dear ones, and end with what is done in seconds.

    Where a long file comes last, one worker has it and the other has nothing left.
    """
    # Asked of pytest-xdist: its mark in the environment is there for a session within a test, too.
    if hasattr(config, "workerinput"):
        items.sort(key=order_of([item.path for item in items]))


def order_of(paths: Iterable[Path]) -> Callable[[pytest.Item], tuple[int, int, str]]:
    """What sorts tests: the files of ``DEAR_FILES`` first, the others by how many tests they have.

    ``paths`` are those of the tests' files, once for each test. No file's tests change places.
    """
    counts = Counter(paths)
    ranks = {ROOT / "tests" / name: rank for rank, name in enumerate(DEAR_FILES)}

    def place(item: pytest.Item) -> tuple[int, int, str]:
        return ranks.get(item.path, len(ranks)), -counts[item.path], str(item.path)

    return place


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The session of what measures imports no file in which nothing is marked so."""
    if config.option.markexpr != MEASURES or not collection_path.match("test_*.py"):
        return None
    if f"mark.{MEASURES}" in collection_path.read_text("utf-8"):
        return None
    return True


def run_cli(
    *arguments: str | Path,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """``deploybench ARGUMENTS`` as a user starts it, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "deploybench", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
        timeout=timeout,
        check=False,
    )


def run_here(
    *arguments: str | Path,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """``deploybench ARGUMENTS`` within this process, which has imported what it needs already.

    For what a command says. Signals, crashes, and what it imports need a process of its own.
    """
    from deploybench.cli.main import application

    asked = [str(argument) for argument in arguments]
    before, typed = Path.cwd(), sys.argv
    os.chdir(cwd or before)
    sys.argv = ["deploybench", *asked]
    try:
        outcome = CliRunner().invoke(
            application(asked), asked, env=environment, prog_name="deploybench"
        )
    finally:
        os.chdir(before)
        sys.argv = typed
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    return subprocess.CompletedProcess(asked, outcome.exit_code, outcome.stdout, outcome.stderr)


@pytest.fixture
def cli() -> Cli:
    """A command in a process of its own."""
    return run_cli


@pytest.fixture
def cli_here() -> Cli:
    """A command in the tests' own process, which takes a tenth of the time."""
    return run_here


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _known_peaks() -> None:
    """Beside other workers no run looks for this host's peaks: they disturb each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        keep_knowing_peaks()


@pytest.fixture(scope="session")
def tiny_workspace(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Workspace:
    """A ViT of 0.4 M parameters, exported and verified in every format that this host writes.

    The artifacts are read only; runs may be recorded. They are exported once for all workers and
    sessions, until a source file or an installed package changes.
    """
    workspace = Workspace(tmp_path_factory.mktemp("tiny") / "workspace")
    workspace.prepare()
    if pytestconfig.cache is None:
        _export_tiny(workspace)
        return workspace
    kept = pytestconfig.cache.mkdir("exported")
    exported = Workspace(kept / state_of_sources())
    with FileLock(kept / ".lock"):
        if not exported.root.exists():
            for outdated in kept.iterdir():
                if outdated.is_dir():
                    shutil.rmtree(outdated)
            unfinished = Workspace(kept / "unfinished")
            unfinished.prepare()
            _export_tiny(unfinished)
            unfinished.root.rename(exported.root)
    shutil.copytree(exported.artifacts_folder, workspace.artifacts_folder, dirs_exist_ok=True)
    return workspace


def state_of_sources() -> str:
    """A digest of all that decides what an export holds: our files, what is installed, the host."""
    digest = hashlib.sha256(f"{sys.version} {platform.platform()} {platform.node()}".encode())
    for folder in ("deploybench", "exporters", "runners"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}".encode() + path.read_bytes())
    installed = {f"{found.name}=={found.version}" for found in metadata.distributions()}
    digest.update(" ".join(sorted(installed)).encode())
    return digest.hexdigest()[:16]


def _export_tiny(workspace: Workspace) -> None:
    requests = [
        ExportRequest(model=ModelRequest(name=TINY), backend=name)
        for name in usable_backends("fp32")
    ]
    for result in export_all(requests, workspace, ExportOptions(jobs=2)):
        assert result.ok, (result.request.backend, result.error)


@pytest.fixture(scope="session")
def tiny_artifact(tiny_workspace: Workspace) -> Callable[[str], Artifact]:
    """The tiny model's artifact by backend."""
    by_backend = {artifact.manifest.backend: artifact for artifact in tiny_workspace.artifacts()}
    return lambda backend: by_backend[backend]


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Replace fields of a manifest: what somebody who knows the format could do to an artifact."""
    path = folder / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    path.write_text(manifest.model_copy(update=changes).sealed().model_dump_json())
    sign(folder, "made")  # only consent is not what these tests are about
