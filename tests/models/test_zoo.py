"""The zoo: parameter counts to the last one, the fair family's band, hand-counted MACs, sizes, and
what is refused."""

from __future__ import annotations

import pytest
import torch

from deploybench.errors import DeployBenchError
from deploybench.models.counting import count_model, listed_counts
from deploybench.models.loading import count_parameters
from deploybench.models.nets.densenet import densenet121, densenet_bc_cifar
from deploybench.models.nets.wide_resnet import wrn_28_10
from deploybench.models.source import BuildOptions, expand_groups, find_source
from deploybench.models.zoo import FAIR, GROUPS, SOFTMAX, ZOO, in_band, zoo_counts

WIDTH, HEADS, DEPTH, PATCH = 384, 6, 14, 16
HEAD = WIDTH // HEADS
BLOCK = 12 * WIDTH**2 + 13 * WIDTH
"""Weights, biases and the two norms of one block with softmax attention: the formula of models.md.
"""


def vit_parameters(classes: int, extra_each: int = 0) -> int:
    """The fair ViT at 224 pixels by hand; ``extra_each`` is what the attention has more than
    softmax, per layer."""
    embedding = 3 * PATCH**2 * WIDTH + WIDTH + WIDTH + 197 * WIDTH
    return embedding + DEPTH * (BLOCK + extra_each) + 2 * WIDTH + WIDTH * classes + classes


def parameters_of(name: str, options: BuildOptions) -> int:
    """Counted without the MACs, which take a second a model."""
    source, own_name = find_source(name)
    with torch.device("meta"):
        return count_parameters(source.build(own_name, options).module)


EXTRA_PARAMETERS = {
    "vit": 0,
    "linformer": 2 * 64 * 197,
    "linformer-256": 2 * 256 * 197,
    "linformer-shared": 64 * 197,
    "performer": 0,
    "performer-266": 0,
    "fastformer": 2 * (WIDTH * HEADS + HEADS),
    "xca": HEADS,
}


@pytest.mark.parametrize("name", FAIR)
def test_members_of_the_fair_family_differ_in_their_attention_alone(name: str) -> None:
    for classes in (10, 7):
        found = parameters_of(name, BuildOptions(num_classes=classes))
        assert found == vit_parameters(classes, EXTRA_PARAMETERS[name])


MIXING = {
    "vit": lambda n: 2 * n * n * WIDTH,
    "linformer": lambda n: 4 * n * 64 * WIDTH,
    "linformer-256": lambda n: 4 * n * 256 * WIDTH,
    "linformer-shared": lambda n: 4 * n * 64 * WIDTH,
    "performer": lambda n: 4 * n * 64 * WIDTH + n * 64 * HEADS,
    "performer-266": lambda n: 4 * n * 266 * WIDTH + n * 266 * HEADS,
    "fastformer": lambda n: 2 * n * WIDTH,
    "xca": lambda n: 2 * n * WIDTH * HEAD,
}
"""MACs of one layer that are no linear layer's, for n tokens, by hand."""


@pytest.mark.parametrize("name", FAIR)
@pytest.mark.parametrize(("size", "patch"), [(224, None), (384, None), (224, 8)])
def test_macs_of_every_attention_are_those_of_a_hand_count(
    name: str, size: int, patch: int | None
) -> None:
    count = count_model(
        name, BuildOptions(num_classes=10, image_size=(size, size), patch_size=patch)
    )
    patches = (size // (patch or PATCH)) ** 2
    n = patches + 1
    scores = 2 * n * WIDTH * HEADS if name == "fastformer" else 0
    assert (count.tokens, count.patch_size) == (n, patch or PATCH)
    assert count.macs.attention_mixing == DEPTH * MIXING[name](n)
    assert count.macs.attention_projections == DEPTH * (4 * n * WIDTH**2 + scores)
    assert count.macs.mlp == DEPTH * 8 * n * WIDTH**2
    assert count.macs.convolution == patches * 3 * (patch or PATCH) ** 2 * WIDTH
    assert count.macs.other == WIDTH * 10


@pytest.mark.parametrize(
    ("made", "parameters"),
    [
        (lambda: densenet_bc_cifar(100), 801_232),
        (lambda: densenet_bc_cifar(10), 770_362),
        (lambda: densenet_bc_cifar(100, stem="3x3"), 800_032),
        (lambda: densenet_bc_cifar(10, stem="3x3"), 769_162),
        (lambda: densenet_bc_cifar(100, transition="1x1"), 986_112),
        (lambda: densenet_bc_cifar(100, transition="3x3"), 1_155_768),
        # InstanceNorm has no weights; a norm of the batch or layer has two for each channel.
        (
            lambda: densenet_bc_cifar(100, transition="3x3", norm="batch"),
            1_155_768 + 2 * (216 + 300),
        ),
        (
            lambda: densenet_bc_cifar(100, transition="3x3", norm="layer"),
            1_155_768 + 2 * (216 + 300),
        ),
        (lambda: densenet121(1000), 7_978_856),
        (lambda: wrn_28_10(100), 36_539_124),
        (lambda: wrn_28_10(100, preactivation=True), 36_536_884),
        (lambda: wrn_28_10(100, augmented=True), 36_208_564),
    ],
)
def test_parameters_are_those_of_the_references_to_the_last_one(
    made: object, parameters: int
) -> None:
    with torch.device("meta"):
        assert count_parameters(made()) == parameters  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("xcit-tiny", 6.716),
        ("efficientnet-b2", 9.110),
        ("efficientnet-b3", 12.233),
        ("efficientnet-b4", 19.34),
        ("efficientnet-b5", 30.39),
        ("efficientnet-b6", 43.04),
        ("efficientnet-b7", 66.35),
    ],
)
def test_published_architectures_have_their_published_size(name: str, millions: float) -> None:
    found = parameters_of(name, BuildOptions()) / 1e6
    assert found == pytest.approx(millions, abs=0.0051 if millions > 15 else 0.0006)


# An epsilon changes no count: those variants are held to the plain ones in test_zoo_variants.py.
@pytest.mark.parametrize("name", [name for name in ZOO if not name.endswith("-eps1e-3")])
def test_listed_counts_are_those_of_the_models(name: str) -> None:
    assert zoo_counts()[name] == listed_counts(name)


def test_band_holds_the_fair_family_and_who_it_is_compared_with() -> None:
    inside = {name for name, counts in zoo_counts().items() if in_band(counts["parameters"])}
    tiny = {f"{shape}-tiny-{grown}" for shape in ("vit", "xcit") for grown in ("wide", "deep")}
    others = {"performer-266", "swin", "xcit", "densenet-bc-k40", "aa-resnet50"}
    assert inside == {*GROUPS["fair"], "linformer-shared", *others, *tiny}
    assert (
        zoo_counts()["resnet50"]["parameters"] == 23_528_522
    )  # 5.9 % under 25 M: as published, so just outside
    assert zoo_counts().keys() == ZOO.keys()


def test_group_stands_for_its_members_once() -> None:
    assert expand_groups(["fair", "resnet50", "vit"]) == [*GROUPS["fair"], "resnet50"]
    assert GROUPS["fair"][0] == SOFTMAX
    assert expand_groups(["timm:x"]) == ["timm:x"]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("wrn-28-10", BuildOptions(patch_size=8), "has no patches"),
        ("resnet50", BuildOptions(patch_size=8), "patch_size"),
        ("aa-wrn-28-10", BuildOptions(pretrained=True), "no pretrained weights"),
        ("linformer", BuildOptions(pretrained=True), "no pretrained weights"),
    ],
)
def test_what_an_architecture_cannot_take_is_refused(
    name: str, options: BuildOptions, words: str
) -> None:
    source, own = find_source(name)
    with pytest.raises(DeployBenchError, match=words):
        source.build(own, options)


def test_size_that_a_model_does_not_run_on_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="does not run on images of 4 x 4"):
        count_model("densenet121", BuildOptions(image_size=(4, 4)))


@pytest.mark.parametrize("name", ["aa-densenet-1x1", "aa-densenet-3x3", "aa-wrn-28-10"])
@pytest.mark.parametrize("size", [(32, 32), (33, 46)])
@torch.no_grad()
def test_augmented_networks_run_on_the_size_they_were_built_for_and_on_no_other(
    name: str, size: tuple[int, int]
) -> None:
    source, own = find_source(name)
    module = source.build(
        own, BuildOptions(num_classes=5, in_channels=1, image_size=size)
    ).module.eval()
    assert module(torch.zeros(2, 1, *size)).isfinite().all()
    with pytest.raises(RuntimeError):
        module(torch.zeros(2, 1, size[0] + 8, size[1]))


def test_zoo_models_are_described_for_preprocessing_and_checkpoints() -> None:
    source, own = find_source("densenet121")
    with torch.device("meta"):
        built = source.build(own, BuildOptions())
    assert (built.num_classes, built.head) == (5, "classifier")
    assert built.preprocessing.mean == pytest.approx((0.533,) * 3)
    assert (built.preprocessing.height, built.preprocessing.crop_fraction) == (320, 1.0)


def test_identity_holds_our_own_code_where_it_is_used() -> None:
    source, _ = find_source("vit")
    assert "code_sha256" not in source.identity("vit")
    assert "code_sha256" not in source.identity("resnet50")
    assert (
        source.identity("linformer")["code_sha256"] == source.identity("wrn-28-10")["code_sha256"]
    )
    with pytest.raises(DeployBenchError, match="unknown zoo model 'nope'"):
        source.identity("nope")


@pytest.mark.parametrize(
    "name", [name for name, entry in ZOO.items() if entry.family != "EfficientNet"]
)
def test_size_is_fixed_where_weights_besides_the_position_embeddings_depend_on_it(
    name: str,
) -> None:
    source, own = find_source(name)
    shapes = []
    for side in (224, 448):
        with torch.device("meta"):
            module = source.build(own, BuildOptions(image_size=(side, side))).module
        state = module.state_dict()
        shapes.append({key: value.shape for key, value in state.items() if key != "pos_embed"})
    assert (shapes[0] != shapes[1]) is ZOO[name].fixed_size


@pytest.mark.parametrize("name", ["performer", "xca", "xcit-tiny", "aa-densenet-3x3"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_all_zero_image_gives_no_nan_in_half_precision(name: str, dtype: torch.dtype) -> None:
    source, own = find_source(name)
    module = (
        source.build(own, BuildOptions(num_classes=5, image_size=(32, 32))).module.eval().to(dtype)
    )
    assert module(torch.zeros(1, 3, 32, 32, dtype=dtype)).isfinite().all()
