"""What the child that exports does where this host lacks something."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import torch

from deploybench.export import job
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.tracebacks import VARIABLE


def test_model_has_no_macs_where_torch_has_no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, example = torch.nn.Linear(3, 4), torch.zeros(1, 3)
    assert job._counted("count_macs", layer, example) == 12
    monkeypatch.setitem(sys.modules, "deploybench.models.flops", None)
    assert job._counted("count_macs", layer, example) is None


@pytest.mark.parametrize("asked", ["1", ""])
def test_traceback_of_what_an_exporter_raised_is_kept_for_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    def no_such_operator(job: job.ExportJob) -> None:
        raise RuntimeError("no such operator")

    request = ExportRequest(model=ModelRequest(name="timm:test_vit"), backend="onnx")
    order = job.ExportJob(request=request, staging=str(tmp_path), key="k", versions={})
    replies: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, asked)
    monkeypatch.setattr(sys, "stdin", io.StringIO(order.model_dump_json()))
    monkeypatch.setattr(job, "run", no_such_operator)
    monkeypatch.setattr(job, "finish", replies.append)
    monkeypatch.setattr(job, "die_with_parent", lambda: None)

    job.main()

    found = job.ExportReply.model_validate_json(replies[0]).found
    assert found is not None
    assert "no such operator" in found
    kept = list((tmp_path / "deploybench" / "crashes").glob("*"))
    if not asked:
        assert kept == []
        assert "traceback" not in found
        return
    (path,) = kept
    assert found.endswith(f" (traceback: {path})")
    assert "in no_such_operator" in path.read_text()
