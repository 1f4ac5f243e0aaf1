"""Biases make up for what rounding shifts, and the model gets them back as they were."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from deploybench.artifacts.calibration import Calibration, CalibrationImages
from deploybench.contracts import ExportSpec
from deploybench.exporters.bias_correction import Biases, correct_biases, has_depthwise, norms_of
from deploybench.exporters.sensitivity import (
    is_quantised_layer,
    ranked,
    rounded_input,
    rounded_weight,
)

torch = pytest.importorskip("torch")

Images = npt.NDArray[np.float32]


def depthwise() -> torch.nn.Sequential:
    """A block as those of EfficientNet-Lite: its depthwise convolution has loud channels."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 1, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU6(),
        torch.nn.Conv2d(16, 16, 3, groups=16, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU6(),
        torch.nn.Conv2d(16, 8, 1),
        torch.nn.Conv2d(8, 8, 1, bias=False),
        torch.nn.Flatten(),
        torch.nn.Linear(8 * 14 * 14, 10),
    ).eval()
    with torch.no_grad():
        # One weight of each filter takes the range from the eight others, which are rounded down.
        model[3].weight[:, :, 0, 0] = 8.0
        model[3].weight[:, :, 1:] = 0.03
    return model


def images() -> Images:
    return np.random.default_rng(0).normal(0.5, 1, (8, 3, 16, 16)).astype(np.float32)


@torch.no_grad()
def in_8_bits(model: torch.nn.Module, given: Images) -> torch.Tensor:
    """The outputs with every layer's weights and input rounded."""
    hooks = []
    exact = {}
    for layer in model.modules():
        if is_quantised_layer(layer):
            exact[layer] = layer.weight.data
            layer.weight.data = rounded_weight(layer.weight.data)
            hooks.append(
                layer.register_forward_pre_hook(lambda module, args: (rounded_input(args[0]),))
            )
    outputs = model(torch.from_numpy(given))
    for hook in hooks:
        hook.remove()
    for layer, weight in exact.items():
        layer.weight.data = weight
    return outputs


def test_shift_of_rounded_outputs_is_taken_back() -> None:
    model, given = depthwise(), images()
    with torch.no_grad():
        exact = model(torch.from_numpy(given))
    before = in_8_bits(model, given) - exact
    assert correct_biases(model, given, norms_of(model, torch.from_numpy(given))) == 5
    after = in_8_bits(model, given) - exact
    assert after.mean(0).abs().max() < 0.2 * before.mean(0).abs().max()
    assert after.square().mean() < 0.5 * before.square().mean()


class OneImage(torch.nn.Module):
    """Takes one image at once."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert len(x) == 1
        return self.network(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("batch", [1, 2])
def test_shift_is_that_of_all_images_where_a_model_takes_few_at_once(batch: int) -> None:
    model, given = depthwise(), images()
    with torch.no_grad():
        exact = model(torch.from_numpy(given))
    before = in_8_bits(model, given) - exact
    norms = norms_of(model, torch.from_numpy(given))
    assert correct_biases(model, given, norms, batch=batch) == 5
    after = in_8_bits(model, given) - exact
    # Looser than with all at once: their ranges are those of the float network here.
    assert after.mean(0).square().mean() < 0.4 * before.mean(0).square().mean()
    assert after.square().mean() < 0.7 * before.square().mean()


def test_model_that_takes_one_image_is_corrected_and_its_layers_ranked() -> None:
    model = OneImage(depthwise()).eval()
    before = model.network[6].bias.clone()
    spec = ExportSpec(precision="int8", batch=1, calibration=of_noise())
    biases = Biases(model, spec, norms_of(model, torch.from_numpy(images())))
    biases.correct()
    assert not torch.equal(model.network[6].bias, before)
    biases.restore()
    assert len(ranked(model, images(), batch=1)) == 5


def test_layers_in_float_are_not_corrected_for_a_rounding_that_they_do_not_have() -> None:
    model, given = depthwise(), images()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    everything = [path for path, layer in model.named_modules() if is_quantised_layer(layer)]
    correct_biases(model, given, norms_of(model, torch.from_numpy(given)), everything)
    for name, tensor in model.state_dict().items():
        expected = before.get(name, torch.zeros(()))  # a layer without a bias was given one
        assert torch.allclose(tensor, expected.expand_as(tensor), atol=1e-5), name


def test_model_that_is_quantised_again_begins_with_its_own_biases() -> None:
    model, given = depthwise(), images()
    spec = ExportSpec(precision="int8", calibration=of_noise())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    biases = Biases(model, spec, norms_of(model, torch.from_numpy(given)))
    biases.correct()
    changed = model.state_dict()
    assert not torch.equal(changed["6.bias"], before["6.bias"])
    first = {name: tensor.clone() for name, tensor in changed.items()}
    biases.correct()
    assert all(torch.equal(first[name], now) for name, now in model.state_dict().items())
    biases.restore()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_layer_that_is_called_twice_keeps_its_bias() -> None:
    class Twice(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = torch.nn.Conv2d(3, 3, 3, groups=3, padding=1)
            self.last = torch.nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(input=self.depthwise(self.depthwise(x)))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    model, given = Twice().eval(), images()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert correct_biases(model, given, norms_of(model, torch.from_numpy(given))) == 0
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_network_without_depthwise_convolutions_is_left_alone() -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten())
    assert not has_depthwise(model)
    assert has_depthwise(depthwise())
    spec = ExportSpec(precision="int8", calibration=of_noise())
    biases = Biases(model, spec, norms_of(model, torch.zeros(1, 3, 16, 16)))
    before = model[0].bias.clone()
    biases.correct()
    assert torch.equal(model[0].bias, before)
    assert biases.facts == {}


def with_norm_of_each_batch(model: torch.nn.Sequential) -> torch.nn.Sequential:
    model[1] = torch.nn.BatchNorm2d(16, track_running_stats=False)
    return model.eval()


def test_norm_of_each_batchs_own_statistics_is_folded_into_nothing() -> None:
    model, given = with_norm_of_each_batch(depthwise()), images()
    norms = norms_of(model, torch.from_numpy(given))
    assert norms.before == {"4": "3"}
    biases = Biases(model, ExportSpec(precision="int8", calibration=of_noise()), norms)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    biases.correct()
    assert not torch.equal(model[6].bias, before["6.bias"])
    biases.restore()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def test_norm_of_each_batchs_own_statistics_is_no_matter_where_nothing_is_changed() -> None:
    model = with_norm_of_each_batch(
        torch.nn.Sequential(torch.nn.Conv2d(3, 16, 1, bias=False), torch.nn.Identity())
    )
    spec = ExportSpec(precision="int8", calibration=of_noise())
    biases = Biases(model, spec, norms_of(model, torch.from_numpy(images())))
    biases.correct()
    assert model[0].bias is None


def of_noise() -> CalibrationImages:
    told = Calibration(source="synthetic", images=8, asked=8, found=8, seed=1)
    return CalibrationImages(images(), told)
