"""Our Grad-CAM beside captum's, where captum can say something: a layer of a CNN.

Ours is no call of captum's, because that takes the second axis of a layer for its channels: of a
transformer's tokens (images x tokens x channels) it would weigh tokens, and of maps with channels
last, columns. It also has to be told the layer. Where both mean the same they have to agree.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deploybench.attention.cam import grad_cam

captum = pytest.importorskip("captum.attr", reason="the extra dev is not installed")


def cnn(seed: int) -> nn.Module:
    """Two convolutions with a norm between them, the mean over the places, three classes."""
    torch.manual_seed(seed)
    layers = [
        *(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.Tanh()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)),
    ]
    return nn.Sequential(*layers).eval()


@pytest.mark.parametrize("seed", range(4))
def test_grad_cam_of_a_cnn_is_captums(seed: int) -> None:
    model = cnn(seed)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    ours = grad_cam(model, image)
    layer = model.get_submodule(ours.layer)
    found = captum.LayerGradCam(model, layer).attribute(image, target=ours.answer)
    theirs = found[0, 0].clamp(min=0).detach().double().numpy()
    assert ours.values.shape == theirs.shape
    np.testing.assert_allclose(ours.values, theirs, rtol=1e-4, atol=1e-7)


def test_grad_cam_of_a_network_of_timm_is_captums() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=10).eval()
    image = torch.randn(1, 3, 64, 64)
    ours = grad_cam(model, image)
    layer = model.get_submodule(ours.layer)
    found = captum.LayerGradCam(model, layer).attribute(image, target=ours.answer)
    np.testing.assert_allclose(
        ours.values, found[0, 0].clamp(min=0).detach().double().numpy(), rtol=1e-3, atol=1e-6
    )
