"""The code that asks NVIDIA's library, through the unmodified nvidia-ml-py, against a double of it
in C.

The double is built here and is found by its child process alone (LD_LIBRARY_PATH); whatever it
tells is simulated.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploybench.children import guardian
from deploybench.hardware.profile import load_profile
from tests.conftest import run_cli

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to build the double")

SOURCE = Path(__file__).with_name("libnvidia_ml_double.c")
BRANCHES = (470, 535, 580)
CARDS = {"k80": 470, "gtx1080ti": 535, "rtx3090": 580}
"""Each card with a branch of the driver that has it."""
GIB = 2**30
SAMPLE = (
    "from dataclasses import asdict; from deploybench.telemetry.gpu import read_gpu; answer = "
    "asdict(read_gpu(0))"
)
HOST = """
from deploybench.hardware.gpus import find_gpus
gpus, note = find_gpus()
answer = [gpu.model_dump() for gpu in gpus], note
"""
MATCH = """
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import describe_host
from deploybench.hardware.profile import check_match, load_profile
answer = {}
for name in ("k80", "gtx1080ti", "rtx3090"):
    try:
        answer[name] = check_match(load_profile(name), describe_host())
    except DeployBenchError as error:
        answer[name] = [error.found, error.expected, error.action]
"""
ENERGY = """
import time
from deploybench.telemetry.energy import Unavailable, open_meter
meter = open_meter("cuda")
if isinstance(meter, Unavailable):
    answer = meter.reason
else:
    with meter:
        outer, before, inner = time.monotonic(), meter.read_j(), time.monotonic()
        time.sleep(0.1)
        shortest = time.monotonic() - inner
        after, longest = meter.read_j(), time.monotonic() - outer
        used = meter.between(before, after)
    answer = {"joules": used.joules, "shortest": shortest, "longest": longest}
    answer |= {"source": used.source, "provenance": used.provenance}
"""


@pytest.fixture(scope="session")
def doubles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a driver branch, with the library in it."""
    folder = tmp_path_factory.mktemp("nvml")
    for branch in BRANCHES:
        (folder / str(branch)).mkdir()
        library = folder / str(branch) / "libnvidia-ml.so.1"
        flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-DDRIVER={branch}"]
        subprocess.run(["gcc", *flags, "-o", library, SOURCE], check=True)
    return folder


def environment(
    doubles: Path, card: str, branch: int | None = None, **modes: str
) -> dict[str, str]:
    """What a child process needs to see that card behind a driver of that branch."""
    library = str(doubles / str(branch or CARDS[card]))
    return {"LD_LIBRARY_PATH": library, "NVML_DOUBLE_CARD": card} | {
        name if name.startswith("CUDA") else f"NVML_DOUBLE_{name.upper()}": value
        for name, value in modes.items()
    }


def ask(code: str, variables: dict[str, str]) -> Any:
    """What a fresh process finds: the value of ``answer`` after the code."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CUDA")}
    program = f"{code}\nimport json; print(json.dumps(answer))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("card", "count", "capability", "driver"),
    [
        ("k80", 2, "3.7", "470.256.02"),
        ("gtx1080ti", 1, "6.1", "535.183.01"),
        ("rtx3090", 1, "8.6", "580.95.05"),
    ],
)
def test_every_device_of_a_card_is_found_and_said_to_be_simulated(
    doubles: Path, card: str, count: int, capability: str, driver: str
) -> None:
    gpus, note = ask(HOST, environment(doubles, card))
    assert note is None
    assert [gpu["index"] for gpu in gpus] == list(range(count))
    assert {(gpu["compute_capability"], gpu["driver"], gpu["provenance"]) for gpu in gpus} == {
        (capability, driver, "simulated")
    }


@pytest.mark.parametrize(
    ("card", "branch", "expected"),
    [
        (
            "k80",
            470,
            {
                "sm_clock_mhz": 875,
                "power_w": 140.0,
                "temperature_c": 62,
                "pcie_generation": 3,
                "ecc": True,
            },
        ),
        ("gtx1080ti", 535, {"sm_clock_mhz": 1582, "power_w": 210.0, "ecc": None}),
        ("gtx1080ti", 580, {"sm_clock_mhz": 1582, "power_w": 210.0, "memory_clock_mhz": 5505}),
        ("rtx3090", 470, {"power_w": 320.0, "pcie_generation": 4}),
        ("rtx3090", 580, {"power_w": 330.0, "pcie_width": 16}),
    ],
)
def test_reading_has_every_figure_that_the_card_and_the_driver_tell(
    doubles: Path, card: str, branch: int, expected: dict[str, object]
) -> None:
    found = ask(SAMPLE, environment(doubles, card, branch))
    assert {name: found[name] for name in expected} == expected
    assert (found["own_bytes"], found["other_processes"], found["used_bytes"]) == (
        2 * GIB,
        0,
        3 * GIB,
    )
    assert (found["throttle_reasons"], found["graphics_processes"]) == ([], 0)
    assert found["provenance"] == "simulated"
    assert found["missing"].keys() == (set() if card == "k80" else {"ecc"})


@pytest.mark.parametrize(("card", "branch"), [("k80", 470), ("gtx1080ti", 535), ("rtx3090", 580)])
def test_another_process_and_what_slows_the_gpu_are_seen(
    doubles: Path, card: str, branch: int
) -> None:
    found = ask(SAMPLE, environment(doubles, card, branch, other="1", reasons="0x44"))
    assert (found["other_processes"], found["other_bytes"]) == (1, GIB)
    assert found["throttle_reasons"] == ["software power cap", "hardware thermal slowdown"]


def test_process_of_the_same_run_that_rests_on_the_gpu_is_nobody_else(doubles: Path) -> None:
    resting = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        env={**os.environ, guardian.MARK: "ours"},
        stdin=subprocess.PIPE,
    )
    card = environment(doubles, "rtx3090", other=str(resting.pid))
    with resting:
        ours = ask(SAMPLE, {**card, guardian.MARK: "ours"})
        theirs = ask(SAMPLE, {**card, guardian.MARK: "another run's"})
        resting.kill()
    assert (ours["other_processes"], ours["other_bytes"]) == (0, 0)
    assert (theirs["other_processes"], theirs["other_bytes"]) == (1, GIB)


@pytest.mark.measures
@pytest.mark.parametrize(
    ("card", "source", "watts"),
    [
        ("k80", "sampled at 20 Hz", 140),
        ("gtx1080ti", "sampled at 20 Hz", 210),
        ("rtx3090", "energy counter", 330),
    ],
)
def test_energy_is_the_card_s_counter_or_its_integrated_power(
    doubles: Path, card: str, source: str, watts: float
) -> None:
    found = ask(ENERGY, environment(doubles, card))
    assert source in found["source"]
    assert found["provenance"] == "simulated"
    millijoule = 1e-3
    assert (
        watts * found["shortest"] - millijoule
        <= found["joules"]
        <= watts * found["longest"] + millijoule
    )


@pytest.mark.parametrize("card", CARDS)
def test_only_the_right_profile_is_accepted(doubles: Path, card: str) -> None:
    answers = ask(MATCH, environment(doubles, card))
    assert answers.pop(card) is None
    for name, (found, expected, action) in answers.items():
        assert load_profile(card).match.gpu_name.strip("$") in found
        assert load_profile(name).title in expected
        assert "deploybench" not in found
        assert "--profile host" in action


def test_old_driver_is_refused_with_the_version_that_is_needed(doubles: Path) -> None:
    found, expected, action = ask(MATCH, environment(doubles, "k80", version="418.226.00"))["k80"]
    assert "driver 418.226.00" in found
    assert "450.80.02 or newer" in expected
    assert "R470" in action


@pytest.mark.parametrize(
    ("card", "modes", "words"),
    [
        ("rtx3090", {"unloaded": "1"}, "Driver Not Loaded"),
        ("rtx3090", {"lost": "1"}, "GPU is lost"),
        ("none", {}, "the NVIDIA driver 580.95.05 shows no GPU"),
        ("rtx3090", {"CUDA_VISIBLE_DEVICES": ""}, "hides all of 1"),
    ],
)
def test_driver_that_gives_no_gpu_says_why_everywhere(
    doubles: Path, card: str, modes: dict[str, str], words: str
) -> None:
    variables = environment(doubles, card, 580, **modes)
    gpus, note = ask(HOST, variables)
    assert gpus == []
    assert words in note
    refused = ask(MATCH, variables)["rtx3090"]
    assert words in refused[0]


def test_reading_and_meter_say_why_there_is_nothing_when_the_driver_is_not_loaded(
    doubles: Path,
) -> None:
    variables = environment(doubles, "rtx3090", unloaded="1")
    assert "Driver Not Loaded" in ask(SAMPLE, variables)["missing"]["power_w"]
    assert "Driver Not Loaded" in ask(ENERGY, variables)


def test_gpus_are_those_that_this_process_sees_in_its_order(doubles: Path) -> None:
    gpus, note = ask(HOST, environment(doubles, "k80", CUDA_VISIBLE_DEVICES="GPU-double-1,0"))
    assert ([gpu["index"] for gpu in gpus], note) == ([1, 0], None)


def test_profile_is_earned_by_any_of_unlike_gpus_that_this_process_sees(doubles: Path) -> None:
    mixed = environment(doubles, "gtx1080ti", 580, second="rtx3090")
    answers = ask(MATCH, mixed)
    assert (answers["gtx1080ti"], answers["rtx3090"]) == (None, None)
    assert ask(MATCH, {**mixed, "CUDA_VISIBLE_DEVICES": "0"})["rtx3090"] is not None


@pytest.mark.parametrize(
    ("card", "modes"), [("k80", {}), ("gtx1080ti", {}), ("rtx3090", {}), ("rtx3090", {"lost": "1"})]
)
def test_commands_describe_the_gpu_without_a_traceback(
    doubles: Path, card: str, modes: dict[str, str], tmp_path: Path
) -> None:
    variables = environment(doubles, card, **modes)
    done = run_cli("doctor", "-w", tmp_path, environment=variables)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    wanted = (modes and "GPU is lost") or "simulated"
    assert wanted in done.stdout
    listed = json.loads(run_cli("profiles", "--json", environment=variables).stdout)
    assert [
        profile["name"]
        for profile in listed
        if profile["matches_host"] and profile["device"] == "cuda"
    ] == ([] if modes else [card])


def test_run_on_the_wrong_gpu_is_refused_before_anything_is_loaded(
    doubles: Path, tmp_path: Path
) -> None:
    done = run_cli(
        "run", "--profile", "rtx3090", "-w", tmp_path, environment=environment(doubles, "k80")
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "GPU Tesla K80 (compute capability 3.7)" in " ".join(done.stderr.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("card", "name"), [("k80", "tesla-k80"), ("gtx1080ti", "gtx-1080-ti"), ("rtx3090", "rtx-3090")]
)
def test_new_profile_of_a_known_gpu_has_the_figures_of_the_built_in_one(
    doubles: Path, card: str, name: str, tmp_path: Path
) -> None:
    variables = environment(doubles, card)
    done = run_cli("profiles", "new", environment=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made, known = load_profile(str(tmp_path / f"{name}.toml")), load_profile(card)
    assert (made.peaks, made.precisions, made.lacking_runners) == (
        known.peaks,
        known.precisions,
        known.lacking_runners,
    )
    code = "from deploybench.hardware.profile import check_match, load_profile\n"
    code += "from deploybench.hardware.host import describe_host\n"
    code += (
        f"answer = check_match(load_profile({str(tmp_path / f'{name}.toml')!r}), describe_host())"
    )
    assert ask(code, variables) is None


def test_new_profile_of_an_unknown_gpu_has_what_its_driver_tells(
    doubles: Path, tmp_path: Path
) -> None:
    code = """
import deploybench.hardware.profile_of_host as made
from deploybench.hardware.host import describe_host
made.profile_of = lambda gpu: None
profile = made.new_profile("mine", "cuda", describe_host(), measure=lambda host, threads: None)
answer = profile.model_dump(mode="json")
"""
    found = ask(code, environment(doubles, "rtx3090"))
    assert found["peaks"]["tflops"] == {"fp32": 35.58}
    assert found["peaks"]["memory_gb_per_s"] == pytest.approx(936.1)
    assert found["precisions"] == ["fp32", "tf32", "bf16", "fp16", "int8"]
    assert "10496 cores x 2 FLOP x 1695 MHz" in found["sources"]["tflops.fp32"]
    refused = "from deploybench.errors import DeployBenchError\ntry:\n" + "".join(
        f"    {line}\n" for line in code.strip().splitlines()
    )
    refused += "except DeployBenchError as error:\n    answer = str(error)"
    assert "driver 510 or newer" in ask(refused, environment(doubles, "k80"))
