"""Tests of deploybench.telemetry."""
