"""Whatever profile is written as TOML reads back as the same profile, and one of this machine is
this machine's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploybench.errors import DeployBenchError
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import PRECISIONS
from deploybench.hardware.profile import (
    Driver,
    Match,
    MismatchError,
    OnnxTarget,
    Peaks,
    Profile,
    check_match,
    figures,
    load_profile,
    parse_profile,
    profile_names,
)
from deploybench.hardware.profile_of_host import new_profile
from deploybench.hardware.profile_toml import profile_toml
from deploybench.hardware.roof import MeasuredPeaks, host_roof, profile_roof
from tests.records import gpu, host

MEASURED = MeasuredPeaks(
    threads=2,
    gflops={"fp32": 203.5, "bf16": 331.0},
    copy_gb_per_s=18.5,
    read_gb_per_s=21.5,
    method="products",
)
words = st.text(st.characters(codec="utf-8"), max_size=12)
positive = st.floats(min_value=1e-12, max_value=1e15)
versions = st.from_regex(r"\d{1,4}(\.\d{1,4}){0,3}", fullmatch=True).filter(str.isascii)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any profile that the parser takes."""
    device = draw(st.sampled_from(["cpu", "cuda"]))
    pattern = words.filter(bool).map(re.escape)
    match = Match(**{"gpu_name" if device == "cuda" else "cpu_model": draw(pattern)})
    peaks = Peaks(
        tflops=draw(st.dictionaries(st.sampled_from(PRECISIONS), positive)),
        memory_gb_per_s=draw(positive),
        memory_gb=draw(positive),
        cache_mb=draw(st.just(0.0) | positive),
        tdp_w=draw(st.none() | positive),
    )
    kinds = draw(st.permutations(PRECISIONS))
    cut = draw(st.integers(0, len(kinds)))
    made = Profile(
        name=draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True)),
        title=draw(words),
        device=device,
        match=match,
        peaks=peaks,
        precisions=tuple(kinds[:cut]),
        lacking={kind: draw(words) for kind in kinds[cut:]},
        lacking_runners=draw(st.dictionaries(words, words, max_size=3)),
        runners=draw(st.none() | st.lists(words, max_size=3).map(tuple)),
        driver=draw(
            st.none()
            | st.builds(Driver, least=versions, last_branch=st.none() | st.integers(1, 999))
        ),
        onnx=draw(
            st.none()
            | st.builds(OnnxTarget, opset=st.integers(1, 30), ir_version=st.integers(1, 15))
        ),
        stack=draw(st.dictionaries(words, words, max_size=3)),
        notes=tuple(draw(st.lists(words, max_size=3))),
    )
    known = sorted(figures(made))
    sourced = draw(st.lists(st.sampled_from(known), unique=True))
    sources = {name: draw(words) for name in sourced}
    return made.model_copy(
        update={"sources": sources, "unconfirmed": tuple(draw(st.permutations(sourced)))}
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(profile=profiles(), remark=words)
def test_profile_reads_back_as_it_was_written(profile: Profile, remark: str) -> None:
    text = profile_toml(profile, (remark,) if remark.isprintable() else ())
    assert parse_profile(text, "mine.toml") == profile


@pytest.mark.parametrize("name", profile_names())
def test_built_in_profile_reads_back_as_it_was_written(name: str) -> None:
    profile = load_profile(name)
    assert parse_profile(profile_toml(profile), name) == profile


@given(text=st.text(max_size=80) | st.builds("{} = {}".format, words, words))
def test_no_text_makes_the_parser_raise_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(DeployBenchError):
        parse_profile(text, "mine.toml")


def made(name: str | None, device: str, machine: Host) -> Profile:
    """A new profile, its peaks as if they had been measured."""
    return new_profile(name, device, machine, measure=lambda host, threads: MEASURED)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz", "intel-xeon-gold-6338"),
        ("AMD EPYC 7B13 64-Core Processor", "amd-epyc-7b13"),
        ("Neoverse N1 [rev 3.1] + more", "neoverse-n1-rev-3.1-more"),
    ],
)
def test_new_profile_of_a_cpu_is_of_this_one_and_no_other(model: str, name: str) -> None:
    machine = host(
        cpu_model=model, isa=("avx2", "avx512_bf16", "avx512_vnni"), cache_bytes=32 << 20
    )
    profile = parse_profile(profile_toml(made(None, "cpu", machine)), "mine.toml")
    assert profile.name == name
    check_match(profile, machine)
    for other in (
        f"{model} x",
        f"x{model}",
        model.replace(".", "0").replace("7B", "7C").replace("6338", "6348"),
    ):
        with pytest.raises(MismatchError):
            check_match(profile, host(cpu_model=f"{other}!"))


def test_new_profile_of_a_cpu_has_what_was_measured_with_where_that_is_from() -> None:
    machine = host(isa=("avx2", "avx512_bf16"), cache_bytes=32_000_000)
    profile = made("rack-7", "cpu", machine)
    assert profile.peaks.tflops == {"fp32": 0.2035, "bf16": 0.331}
    assert profile.peaks.memory_gb_per_s == 21.5
    assert (
        profile_roof(profile).cache_bytes == host_roof(machine, MEASURED).cache_bytes == 32_000_000
    )
    assert profile.precisions == ("fp32", "bf16", "int8")
    assert {kind: "none of" in why for kind, why in profile.lacking.items()} == {
        "tf32": False,
        "fp16": True,
    }
    assert (
        profile.sources["tflops.fp32"] == "measured on here by deploybench profiles new: products"
    )
    assert profile.sources.keys() == figures(profile).keys()
    assert profile.runners is None, "no runner is shut out"


@pytest.mark.parametrize(
    ("name", "device", "words_expected"),
    [
        ("k80", "cpu", "there is a profile k80 already"),
        ("host", "cpu", "there is a profile host already"),
        ("../mine", "cpu", "letters, digits"),
        ("mine", "tpu", "--device tpu"),
        ("mine", "cuda", "there is no cuda on this host: no NVIDIA driver"),
    ],
)
def test_new_profile_is_refused_where_it_would_mislead(
    name: str, device: str, words_expected: str
) -> None:
    with pytest.raises(DeployBenchError, match=words_expected):
        made(name, device, host())


def test_new_profile_of_a_gpu_takes_over_what_is_unconfirmed() -> None:
    profile = made("mine", "cuda", host(gpus=(gpu("NVIDIA GeForce RTX 3090", "8.6"),)))
    assert profile.unconfirmed == load_profile("rtx3090").unconfirmed
    assert profile.sources["tflops.tf32"].startswith("profile rtx3090: ")
    assert parse_profile(profile_toml(profile), "mine.toml") == profile


def test_file_of_a_new_profile_says_above_it_where_it_is_from(tmp_path: Path) -> None:
    profile = load_profile("k80").model_copy(update={"name": "mine"})
    path = tmp_path / "mine.toml"
    path.write_text(profile_toml(profile, ("found on here,\ntoday",)))
    assert path.read_text().startswith("# found on here,\n# today\nname = ")
    assert load_profile(str(path)) == profile
