"""Bundles: a folder that serves one artifact as it was measured, on a host without this package."""

from __future__ import annotations

from deploybench.bundle.writing import write_bundle

__all__ = ["write_bundle"]
