"""DeployBench: verified artifacts of a vision model for every backend, and measurements that can be
trusted."""

__version__ = "0.1.0"
