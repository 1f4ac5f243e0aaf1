"""Checkpoints: what is read, what is refused, and that nothing in a pickle runs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint import Checkpoint, classes_in, load_state, read_checkpoint


def network(classes: int = 3) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, classes))


def of(state: dict[str, torch.Tensor]) -> Checkpoint:
    """A checkpoint that holds the state at its top."""
    return Checkpoint(Path("c.pt"), state, dict.fromkeys(state, ""))


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


@pytest.mark.parametrize(
    "wrap", [lambda s: s, *(lambda s, k=k: {"epoch": 3, k: s} for k in ("state_dict", "model"))]
)
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module."])
def test_state_is_found_under_the_usual_keys_and_prefixes(
    tmp_path: Path, wrap: object, prefix: str
) -> None:
    state = {prefix + key: value for key, value in network().state_dict().items()}
    torch.save(wrap(state), tmp_path / "c.pt")  # type: ignore[operator]
    fresh = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    load_state(fresh, read_checkpoint(tmp_path / "c.pt"), allow_partial=False)
    assert torch.equal(fresh[2].weight, network()[2].weight)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "c.safetensors")
    read = read_checkpoint(tmp_path / "c.safetensors")
    assert read.tensors.keys() == network().state_dict().keys()


def test_pickle_with_code_is_refused_and_not_executed(tmp_path: Path) -> None:
    victim = tmp_path / "executed"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Bomb(victim)}))
    torch.save({"state_dict": Bomb(victim)}, tmp_path / "evil.pt")
    for name in ("evil.pth", "evil.pt"):
        with pytest.raises(DeployBenchError, match="nothing in it was executed"):
            read_checkpoint(tmp_path / name)
    assert not victim.exists()


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_truncated_checkpoint_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    torch.save(network().state_dict(), path) if name == "c.pt" else save_file(
        network().state_dict(), path
    )
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DeployBenchError, match=name):
        read_checkpoint(path)


def test_checkpoint_without_tensors_is_refused_with_its_keys(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.1}, tmp_path / "c.pt")
    with pytest.raises(DeployBenchError, match="epoch, loss"):
        read_checkpoint(tmp_path / "c.pt")


def test_another_architecture_is_refused_with_the_differing_keys() -> None:
    state = {**network().state_dict(), "0.weight": torch.zeros(5, 4), "extra": torch.zeros(1)}
    del state["2.bias"]
    with pytest.raises(DeployBenchError) as refusal:
        load_state(network(), of(state), allow_partial=False)
    for words in (
        "1 key missing (2.bias)",
        "1 unexpected (extra)",
        "0.weight (5, 4) against (8, 4)",
    ):
        assert words in refusal.value.found


def test_partial_load_takes_what_fits_and_leaves_the_rest() -> None:
    model = network()
    before = model[0].weight.clone()
    state = {"0.weight": torch.zeros(5, 4), "2.bias": torch.full((3,), 7.0)}
    load_state(model, of(state), allow_partial=True)
    assert torch.equal(model[0].weight, before)
    assert model[2].bias.tolist() == [7, 7, 7]


def test_partial_load_is_refused_when_nothing_fits() -> None:
    with pytest.raises(DeployBenchError, match="no tensor"):
        load_state(network(), of({"other": torch.zeros(1)}), allow_partial=True)


@given(st.integers(1, 50))
def test_number_of_classes_is_read_from_the_checkpoint_s_head(classes: int) -> None:
    state = {f"module.{key}": value for key, value in network(classes).state_dict().items()}
    assert classes_in(of(state), network(), "2") == classes
    assert classes_in(of(state), network(), "absent") is None


def test_prefixes_come_off_beside_keys_that_have_none() -> None:
    own = network().state_dict()
    averaged = {"n_averaged": torch.zeros(1)}
    lightning = {"criterion.weight": torch.zeros(1)}
    for beside, prefix in ((averaged, "module."), (lightning, "model.")):
        state = {**beside, **{f"{prefix}{key}": value for key, value in own.items()}}
        fresh = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        report = load_state(fresh, of(state), allow_partial=False)
        assert torch.equal(fresh[2].weight, network()[2].weight)
        assert set(report.loaded) == set(own)
        assert [*report.ignored, *report.left]


def test_prefix_is_kept_when_the_model_itself_has_it() -> None:
    model = nn.ModuleDict({"model": network()})
    state = {key: value + 1 for key, value in model.state_dict().items()}
    load_state(model, of(state), allow_partial=False)
    assert torch.equal(model["model"][0].weight, state["model.0.weight"])


def small_vit(size: int) -> nn.Module:
    torch.manual_seed(size)
    shape = {"img_size": size, "embed_dim": 24, "num_heads": 3, "depth": 1, "num_classes": 2}
    return timm.create_model("vit_tiny_patch16_224", **shape)


def test_position_embeddings_of_another_image_size_are_resampled() -> None:
    trained, larger = small_vit(64), small_vit(96)
    load_state(larger, of(trained.state_dict()), allow_partial=False)
    assert torch.equal(larger.blocks[0].attn.qkv.weight, trained.blocks[0].attn.qkv.weight)
    assert torch.equal(larger.pos_embed[:, 0], trained.pos_embed[:, 0]), (
        "the class token has no place"
    )
    old, new = (
        net.pos_embed[0, 1:].unflatten(0, (side, side)) for net, side in ((trained, 4), (larger, 6))
    )
    torch.testing.assert_close(new.mean(dim=(0, 1)), old.mean(dim=(0, 1)), rtol=0, atol=0.011)
    assert not torch.equal(new, small_vit(96).pos_embed[0, 1:].unflatten(0, (6, 6)))


@pytest.mark.parametrize("shape", [(1, 18, 24), (1, 17, 12), (17, 24), (1, 1, 24)])
def test_position_embeddings_that_are_no_square_of_patches_are_refused(
    shape: tuple[int, ...],
) -> None:
    state = {**small_vit(64).state_dict(), "pos_embed": torch.zeros(shape)}
    with pytest.raises(DeployBenchError, match="mis-shaped"):
        load_state(small_vit(96), of(state), allow_partial=False)


def small_swin(size: int) -> nn.Module:
    torch.manual_seed(size)
    shape = {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "num_classes": 2}
    return timm.create_model("swin_tiny_patch4_window7_224", img_size=size, **shape)


def small_beit(size: int) -> nn.Module:
    torch.manual_seed(size)
    shape = {"embed_dim": 24, "num_heads": 3, "depth": 1, "num_classes": 2}
    return timm.create_model("beit_base_patch16_224", img_size=size, **shape)


@pytest.mark.parametrize("build", [small_swin, small_beit])
def test_tables_of_relative_positions_of_another_image_size_are_resampled(
    build: Callable[[int], nn.Module],
) -> None:
    trained, smaller = build(224), build(96)
    for name, parameter in trained.named_parameters():
        if name.endswith("relative_position_bias_table"):
            nn.init.normal_(parameter)  # BEiT begins with zeros
    load_state(smaller, of(trained.state_dict()), allow_partial=False)
    before, after, untrained = (net.state_dict() for net in (trained, smaller, build(96)))
    tables = [key for key in after if key.endswith("relative_position_bias_table")]
    resized = [key for key in tables if before[key].shape != after[key].shape]
    assert resized
    assert not any(torch.equal(after[key], untrained[key]) for key in resized)
    same = [key for key in after if before[key].shape == after[key].shape]
    assert all(torch.equal(after[key], before[key]) for key in same)


def test_checkpoint_of_another_patch_size_is_refused_and_not_resampled() -> None:
    other = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=64,
        patch_size=32,
        embed_dim=24,
        num_heads=3,
        depth=1,
        num_classes=2,
    )
    with pytest.raises(DeployBenchError, match="mis-shaped"):
        load_state(small_vit(64), of(other.state_dict()), allow_partial=False)
