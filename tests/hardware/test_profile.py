"""Profiles parse, match the hardware that they name, and refuse everything else."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from deploybench.contracts.registry import exporters, runners
from deploybench.errors import DeployBenchError
from deploybench.hardware.precisions import PRECISIONS
from deploybench.hardware.profile import (
    MismatchError,
    check_match,
    figures,
    load_profile,
    parse_profile,
    profile_names,
    profile_of,
)
from tests.records import gpu, host

OLDER = """
name = "mine"
title = "A machine"
device = "cpu"
precisions = ["fp32"]
runners = ["pytorch"]
[match]
cpu_model = "A"
[peaks]
tflops = {fp32 = 1.0}
memory_gb_per_s = 1.0
memory_gb = 1.0
"""
"""As ``deploybench profiles new`` wrote them before profiles said what they lack."""
BUILT_IN = Path(str(files("deploybench.profiles")))
GPU_HOSTS = {
    "k80": gpu("Tesla K80", "3.7", driver="470.256.02"),
    "gtx1080ti": gpu("NVIDIA GeForce GTX 1080 Ti", "6.1"),
    "rtx3090": gpu("NVIDIA GeForce RTX 3090", "8.6"),
}


@pytest.mark.parametrize("name", profile_names())
def test_built_in_profile_is_complete(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.precisions) <= set(profile.peaks.tflops)
    assert {*profile.precisions, *profile.lacking} == set(PRECISIONS), (
        "every precision that is missing has a reason"
    )
    assert profile.sources.keys() == figures(profile).keys(), "every figure has a source"
    assert profile.runners is None, "a built-in profile says what it lacks"
    assert profile.peaks.tdp_w
    assert profile.notes
    assert profile.device == "cpu" or profile.driver is not None


@pytest.mark.parametrize("name", profile_names())
def test_precision_that_no_exporter_writes_for_the_device_is_said_to_be_so(name: str) -> None:
    """A profile names what hardware computes in; what cannot be measured there has a note."""
    profile = load_profile(name)
    reached = {
        precision
        for runner in (entry.plugin for entry in runners().values())
        if runner is not None and profile.device in runner.devices
        for form in runner.formats
        for written in _written(form)
        for precision in runner.precisions_on(profile.device, written)
    }
    unwritten = set(profile.precisions) - reached
    assert all(
        any(f"no exporter of this program writes {precision}" in note for note in profile.notes)
        for precision in unwritten
    )
    assert unwritten == set()


def _written(form: str) -> frozenset[str]:
    """The precisions in which an exporter writes that format."""
    plugin = exporters()[form].plugin
    return plugin.precisions if plugin is not None else frozenset()


@pytest.mark.parametrize("name", profile_names())
def test_runner_that_a_profile_lacks_is_one_of_the_built_in_ones(name: str) -> None:
    assert load_profile(name).lacking_runners.keys() <= runners().keys()


def test_list_of_runners_of_an_older_profile_reads_and_means_what_it_meant() -> None:
    profile = parse_profile(OLDER, "mine.toml")
    assert profile.runners == ("pytorch",)
    assert profile.why_no_runner("pytorch", built_in=True) is None
    assert profile.why_no_runner("toy", built_in=False) is None
    refusal = profile.why_no_runner("onnxruntime", built_in=True)
    assert refusal == "onnxruntime is not among the runners of mine: pytorch"


def test_the_four_profiles_are_there() -> None:
    assert profile_names() == ["gtx1080ti", "k80", "rtx3090", "xeon"]


@pytest.mark.parametrize("name", GPU_HOSTS)
@pytest.mark.parametrize("present", GPU_HOSTS)
def test_gpu_profile_matches_only_its_own_card(name: str, present: str) -> None:
    machine = host(gpus=(GPU_HOSTS[present],))
    if name == present:
        check_match(load_profile(name), machine)
    else:
        with pytest.raises(MismatchError) as refusal:
            check_match(load_profile(name), machine)
        assert GPU_HOSTS[present].name in refusal.value.found
        assert load_profile(name).title in str(refusal.value.expected)


def test_rtx_3090_ti_is_not_taken_for_an_rtx_3090() -> None:
    with pytest.raises(MismatchError):
        check_match(load_profile("rtx3090"), host(gpus=(gpu("NVIDIA GeForce RTX 3090 Ti", "8.6"),)))


def test_xeon_profile_matches_an_intel_xeon_and_no_epyc() -> None:
    check_match(
        load_profile("xeon"),
        host(cpu_model="Intel(R) Xeon(R) Gold 6338", cpu_vendor="GenuineIntel"),
    )
    with pytest.raises(MismatchError, match="AMD EPYC"):
        check_match(load_profile("xeon"), host())


def test_gpu_profile_is_refused_with_the_driver_s_words_when_there_is_no_gpu() -> None:
    with pytest.raises(MismatchError, match="no CUDA device: no NVIDIA driver"):
        check_match(load_profile("k80"), host())


def test_unknown_profile_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeployBenchError) as refusal:
        load_profile("rtx309")
    assert "rtx3090" in str(refusal.value.expected)


@pytest.mark.parametrize(
    ("name", "driver", "words"),
    [
        (
            "k80",
            "440.33.01",
            "450.80.02 or newer, for the stack of k80, the last that has this GPU: R470",
        ),
        ("k80", "450.51.06", "450.80.02 or newer"),
        ("gtx1080ti", "390.157", "R580"),
        ("rtx3090", "575.57.08", "580 or newer"),
    ],
)
def test_old_driver_is_refused_with_the_one_that_is_needed(
    name: str, driver: str, words: str
) -> None:
    card = GPU_HOSTS[name].model_copy(update={"driver": driver})
    with pytest.raises(MismatchError, match=f"this host has the NVIDIA driver {driver}") as refusal:
        check_match(load_profile(name), host(gpus=(card,)))
    assert words in str(refusal.value.expected)
    assert "install the newest driver" in str(refusal.value.action)


@pytest.mark.parametrize(
    ("name", "driver"),
    [("k80", "450.80.02"), ("k80", "450.102.04"), ("k80", "470.256.02"), ("rtx3090", "580.65.06")],
)
def test_driver_that_is_just_new_enough_is_taken(name: str, driver: str) -> None:
    check_match(
        load_profile(name), host(gpus=(GPU_HOSTS[name].model_copy(update={"driver": driver}),))
    )


def test_refusal_says_that_a_newer_driver_hides_an_old_card() -> None:
    with pytest.raises(MismatchError) as refusal:
        check_match(load_profile("k80"), host(gpus=(GPU_HOSTS["rtx3090"],)))
    assert "drivers after branch R470 do not show it" in str(refusal.value.action)


def test_profile_of_a_gpu_is_the_built_in_one_that_fits_it() -> None:
    found = profile_of(GPU_HOSTS["k80"])
    assert found is not None
    assert found.name == "k80"
    assert profile_of(gpu("NVIDIA H200", "9.0")) is None


def test_missing_precision_is_explained() -> None:
    assert load_profile("k80").why_no("fp16") == (
        "k80 has no fp16 arithmetic: storage only: NVIDIA's CUDA guide lists Kepler's fp16 "
        "throughput as N/A"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("fp32 = 4.37", "fp32 = inf"), "tflops.fp32"),
        (('gpu_name = "Tesla K80"', 'gpu_name = "("'), "not a valid profile"),
        (('gpu_name = "Tesla K80"', 'gpu_name = ""'), "matches any machine"),
        (('bf16 = "it', 'bf17 = "it'), "unknown precision 'bf17'"),
        (('fp16 = "storage', 'fp32 = "storage'), "has fp32 and lacks it"),
        (('"tflops.fp32" =', '"tflops.fp31" ='), "unknown figure 'tflops.fp31'"),
        (('unconfirmed = ["cache_mb"]', 'unconfirmed = ["cache"]'), "unknown figure 'cache'"),
        (('least = "450.80.02"', 'least = "new"'), "driver.least"),
        (('name = "k80"', 'name = "../k80"'), "name"),
    ],
)
def test_wrong_field_of_a_profile_is_refused(change: tuple[str, str], words: str) -> None:
    text = BUILT_IN.joinpath("k80.toml").read_text()
    assert change[0] in text
    with pytest.raises(DeployBenchError, match=re.escape(words)):
        parse_profile(text.replace(*change, 1), "mine.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not read: No such file"),
        (b"\xff\xfe", "it is not UTF-8"),
        (b"name = ", "not a valid profile"),
    ],
)
def test_file_that_is_no_profile_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DeployBenchError, match=words):
        load_profile(str(path))


def test_file_may_not_take_the_name_of_a_built_in_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = BUILT_IN.joinpath("k80.toml").read_text()
    path.write_text(text)
    with pytest.raises(DeployBenchError, match="calls itself k80"):
        load_profile(str(path))
    path.write_text(text.replace('name = "k80"', 'name = "rack-7"'))
    assert load_profile(str(path)).name == "rack-7"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "not a valid profile"),
        ('name = "x"', "title"),
        ('name = "x"\nspeed = 1', "not a valid profile"),
    ],
)
def test_wrong_profile_is_refused_with_its_first_fault(text: str, words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        parse_profile(text, "mine.toml")
