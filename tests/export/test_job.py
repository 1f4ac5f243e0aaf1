"""What the child that exports does where this host lacks something."""

from __future__ import annotations

import sys

import pytest
import torch

from deploybench.export import job


def test_model_has_no_macs_where_torch_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, example = torch.nn.Linear(3, 4), torch.zeros(1, 3)
    assert job._counted("count_macs", layer, example) == 12
    monkeypatch.setitem(sys.modules, "deploybench.models.flops", None)
    assert job._counted("count_macs", layer, example) is None
