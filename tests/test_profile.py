"""Profiles parse, match the hardware that they name, and refuse everything else."""

from __future__ import annotations

import pytest

from deploybench.errors import DeployBenchError
from deploybench.profile import MismatchError, check_match, load_profile, parse_profile, profile_names
from tests.records import gpu, host

GPU_HOSTS = {
    "k80": gpu("Tesla K80", "3.7"),
    "gtx1080ti": gpu("NVIDIA GeForce GTX 1080 Ti", "6.1"),
    "rtx3090": gpu("NVIDIA GeForce RTX 3090", "8.6"),
}


@pytest.mark.parametrize("name", profile_names())
def test_built_in_profile_is_complete(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.precisions) <= set(profile.peaks.tflops)
    assert profile.runners


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
    check_match(load_profile("xeon"), host(cpu_model="Intel(R) Xeon(R) Gold 6338", cpu_vendor="GenuineIntel"))
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
    ("text", "words"),
    [("name = ", "not a valid profile"), ('name = "x"', "title"), ('name = "x"\nspeed = 1', "not a valid profile")],
)
def test_wrong_profile_is_refused_with_its_first_fault(text: str, words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        parse_profile(text, "mine.toml")
