"""The images lint without a finding, run as nobody special, and start the command."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from deploybench.hardware.profile import load_profile, profile_names
from docker.pins import DOCKER, ROOT, profiles
from docker.without_docker import steps_of

DOCKERFILES = sorted(DOCKER.glob("*/Dockerfile"))
COMPOSE = DOCKER / "compose.yaml"


def hadolint() -> str:
    """The linter's program: beside this interpreter, where pip puts it, or on PATH."""
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.is_file() else shutil.which("hadolint")
    assert found is not None, f"no hadolint beside {sys.executable}: pip install '.[dev]'"
    return found


def lint(path: Path) -> list[dict[str, object]]:
    command = [
        hadolint(),
        "--format",
        "json",
        "--no-color",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return list(json.loads(done.stdout))


def instructions(path: Path, keyword: str) -> list[str]:
    return [
        line.split(maxsplit=1)[1]
        for line in path.read_text().splitlines()
        if line.startswith(f"{keyword} ")
    ]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfile_lints_without_a_finding(path: Path) -> None:
    assert lint(path) == []


def test_linter_finds_an_image_without_a_tag(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILES[0].read_text().replace("python:3", "python\n#"))
    assert "DL3006" in {finding["code"] for finding in lint(path)}


def test_every_profile_has_an_image_and_every_image_a_service() -> None:
    images = {path.parent.name for path in DOCKERFILES}
    assert (
        images
        == set(profile_names())
        == set(profiles())
        == set(yaml.safe_load(COMPOSE.read_text())["services"])
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_has_the_profiles_python_and_its_own_pins_and_runs_the_command_as_nobody_special(
    path: Path,
) -> None:
    python = load_profile(path.parent.name).stack["python"]
    (base,) = instructions(path, "FROM")
    assert re.fullmatch(rf"python:{re.escape(python)}\.\d+-slim-bookworm", base)
    assert f"docker/{path.parent.name}/requirements.txt" in instructions(path, "COPY")[0]
    assert instructions(path, "USER")[-1] == "1000"
    assert instructions(path, "ENTRYPOINT") == ['["deploybench"]']
    assert instructions(path, "VOLUME") == ["/workspace"]
    assert (
        "/python3" not in path.read_text() or f"/python{python}/site-packages" in path.read_text()
    )


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_what_is_kept_goes_to_the_workspace_whoever_the_container_runs_as(path: Path) -> None:
    """DEPLOYBENCH_USER may name somebody without a home, where Triton could not keep its way into
    the driver, and the driver could not keep what it compiles."""
    told = " ".join(text for keyword, text in steps_of(path.read_text()) if keyword == "ENV")
    variables = dict(re.findall(r"(\w+)=(\S+)", told))
    caches = {name: value for name, value in variables.items() if "_CACHE" in name}
    wanted = {"XDG_CACHE_HOME"}
    if load_profile(path.parent.name).device == "cuda":
        wanted.add("CUDA_CACHE_PATH")
    if "g++" in path.read_text():
        wanted.add("TORCHINDUCTOR_CACHE_DIR")
    if wanted > {"CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR"}:
        wanted.add("TRITON_CACHE_DIR")
    assert caches.keys() == wanted
    assert all(place.startswith("/workspace/.cache") for place in caches.values())


@pytest.mark.trust(
    item=22,
    case="an artifact that one container made, in the next container",
    before="(no signatures)",
    now="its own: the secret lies in a folder beside the workspace, which both mount",
)
@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_secret_lies_outside_the_image_and_the_workspace(path: Path) -> None:
    text = path.read_text()
    assert "DEPLOYBENCH_STATE=/state" in text
    assert "--mode 700 /state" in text
    service = yaml.safe_load(COMPOSE.read_text())["services"][path.parent.name]
    sources = {volume["target"]: volume["source"] for volume in service["volumes"]}
    assert sources["/state"] == "${DEPLOYBENCH_STATE:-../deploybench-state}"
    assert not any(volume["bind"]["create_host_path"] for volume in service["volumes"])
    assert "deploybench-state/" in (ROOT / ".gitignore").read_text().splitlines()


def test_services_build_their_own_image_and_reserve_one_gpu_where_the_profile_has_one() -> None:
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        build = service["build"]
        assert (
            COMPOSE.parent / build["context"] / build["dockerfile"]
        ).resolve() == DOCKER / name / "Dockerfile"
        assert service["network_mode"] == "none"
        assert [volume["target"] for volume in service["volumes"]] == ["/workspace", "/state"]
        devices = (
            service.get("deploy", {})
            .get("resources", {})
            .get("reservations", {})
            .get("devices", [])
        )
        assert len(devices) == (load_profile(name).device == "cuda")
        for device in devices:
            assert device["driver"] == "nvidia"
            assert device["capabilities"] == ["gpu"]
            assert len(device["device_ids"]) == 1


def test_services_see_the_host_and_have_a_name_that_stays() -> None:
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        assert service["pid"] == "host", name
        assert service["hostname"] == "${DEPLOYBENCH_HOST:-deploybench}", name


def compose_problem(text: str) -> str | None:
    """What the compose specification refuses in a file whose variables have their defaults, or
    None."""
    document = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    try:
        PyCompose.from_dict(PyCompose.from_yaml(yaml.safe_dump(document)).to_spec()).validate()
    except ValueError as error:
        return str(error)
    return None


def test_compose_file_is_what_the_specification_says() -> None:
    assert compose_problem(COMPOSE.read_text()) is None


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("reservations:", "reservation:"),
        ("device_ids: [", "device_ids: 3 #["),
        ("create_host_path", "create_path"),
        ("capabilities: [gpu]", "count: one"),
        ("network_mode: none", "network_mode: [none]"),
    ],
)
def test_compose_file_with_a_fault_is_refused(right: str, wrong: str) -> None:
    assert compose_problem(COMPOSE.read_text().replace(right, wrong))


def test_docker_reads_the_compose_file() -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker client")
    if subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    ).returncode:
        pytest.skip("the docker client has no compose plug-in")
    command = ["docker", "compose", "--file", str(COMPOSE), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["services"].keys() == set(profile_names())


def test_build_context_holds_what_the_images_copy_and_install() -> None:
    kept = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert kept == {
        "pyproject.toml",
        "README.md",
        "deploybench",
        "exporters",
        "runners",
        "profiles",
        "docker",
    }
    assert all((ROOT / name).exists() for name in kept)
