"""Names of devices, and what a run refuses before anything is planned on one."""

from __future__ import annotations

import pytest

from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import Device, gpu_index, read_device, same_device
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import gpu_precisions
from deploybench.hardware.profile import load_profile
from deploybench.plan.selection import select_devices
from tests.records import gpu, host

RTX3090, GTX1080TI, K80 = "NVIDIA GeForce RTX 3090", "NVIDIA GeForce GTX 1080 Ti", "Tesla K80"
TWO_GPUS = host(gpus=(gpu(GTX1080TI, "6.1"), gpu(RTX3090, "8.6")), gpu_note=None)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cpu", "cpu"),
        ("cuda", "cuda"),
        ("cuda:0", "cuda"),
        ("cuda:1", "cuda:1"),
        ("cuda:12", "cuda:12"),
    ],
)
def test_device_is_read_in_its_shortest_form(text: str, name: str) -> None:
    assert read_device(text) == name


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cpu:1", "CUDA", "", "cuda:-1"])
def test_text_that_names_no_device_is_refused_with_what_would(text: str) -> None:
    with pytest.raises(DeployBenchError, match="cpu, cuda or cuda:N"):
        read_device(text)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("cuda", "cuda:0", True),
        ("cuda:1", "cuda:1", True),
        ("cpu", "cpu", True),
        ("cuda", "cuda:1", False),
        ("cpu", "cuda", False),
    ],
)
def test_first_gpu_has_two_names(first: str, second: str, same: bool) -> None:
    assert same_device(first, second) is same
    assert same_device(second, first) is same


@pytest.mark.parametrize(
    ("asked", "profile", "machine", "devices"),
    [
        ([], None, TWO_GPUS, ["cpu"]),
        (["cpu", "cuda:1"], None, TWO_GPUS, ["cpu", "cuda:1"]),
        ([], "xeon", TWO_GPUS, ["cpu"]),
        ([], "rtx3090", TWO_GPUS, ["cuda:1"]),
        ([], "gtx1080ti", TWO_GPUS, ["cuda"]),
        (["cuda:1"], "rtx3090", TWO_GPUS, ["cuda:1"]),
    ],
)
def test_run_is_on_the_devices_asked_for_or_on_the_first_that_the_profile_names(
    asked: list[str], profile: str | None, machine: Host, devices: list[str]
) -> None:
    assert select_devices(asked, load_profile(profile) if profile else None, machine) == devices


@pytest.mark.parametrize(
    ("asked", "profile", "machine", "words"),
    [
        (["cuda"], None, host(), "no CUDA device: no NVIDIA driver.*an NVIDIA GPU.*doctor"),
        (["cpu", "cuda:2"], None, TWO_GPUS, "cuda:2.*cuda .*1080 Ti.*cuda:1 .*3090.*one of these"),
        (["cuda"], "xeon", TWO_GPUS, "cuda with --profile xeon.*CPU"),
        (["cuda"], "rtx3090", TWO_GPUS, "cuda with --profile rtx3090.*RTX 3090, here cuda:1"),
        (["cpu"], "rtx3090", TWO_GPUS, "cpu with --profile rtx3090.*leave --device out"),
    ],
)
def test_device_that_the_host_lacks_or_the_profile_does_not_name_is_refused(
    asked: list[str], profile: str | None, machine: Host, words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        select_devices(asked, load_profile(profile) if profile else None, machine)


@pytest.mark.parametrize(
    ("name", "capability", "formats"),
    [
        (K80, "3.7", {"fp32"}),
        (GTX1080TI, "6.1", {"fp32", "int8"}),  # fp16 at 1/64 of the rate is no way to compute
        ("Tesla P100", "6.0", {"fp32", "fp16"}),
        (RTX3090, "8.6", {"fp32", "fp16", "bf16", "tf32", "int8"}),
    ],
)
def test_gpu_computes_in_the_formats_that_its_compute_capability_has(
    name: str, capability: str, formats: set[str]
) -> None:
    assert gpu_precisions("cuda", host(gpus=(gpu(name, capability),))) == formats


def test_gpu_that_nothing_is_known_of_is_not_refused_any_format() -> None:
    assert gpu_precisions("cuda", host()) == {"fp32", "fp16", "bf16", "tf32", "int8"}


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", Device("cpu")),
        ("cuda", Device("cuda", 0)),
        ("cuda:0", Device("cuda", 0)),
        ("cuda:2", Device("cuda", 2)),
    ],
)
def test_name_of_a_device_is_read_and_written_the_same(text: str, device: Device) -> None:
    assert Device.parse(text) == device
    assert Device.parse(str(device)) == device


@pytest.mark.parametrize("text", ["cpu:0", "cuda:x", "gpu", "cuda:-1", "", "cuda:1:2"])
def test_text_that_names_no_device_is_refused(text: str) -> None:
    with pytest.raises(DeployBenchError, match="expected: cpu, cuda or cuda:N"):
        Device.parse(text)


def test_number_of_a_gpu_is_asked_of_gpus_only() -> None:
    assert (gpu_index("cuda"), gpu_index("cuda:1")) == (0, 1)
    with pytest.raises(DeployBenchError, match="'cpu'; expected: cuda, or cuda:0"):
        gpu_index("cpu")


def test_device_that_nobody_knows_is_not_the_one_that_was_asked_for() -> None:
    assert not same_device("gpu", "cuda")
