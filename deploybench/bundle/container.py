"""``requirements.txt`` and ``Dockerfile``: the runtime alone, in its measured versions."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from packaging.version import InvalidVersion, Version

from deploybench.bundle.process import OfProcess
from deploybench.contracts import Serving
from deploybench.errors import DeployBenchError
from deploybench.versions import installed_versions

ALWAYS = ("numpy", "pillow")
DOCKERFILE = """\
# docker build --tag served . && docker run --rm --publish 8000:8000 served
FROM python:{python}-slim-bookworm
{packages}
WORKDIR /bundle
COPY requirements.txt .
RUN pip install --no-cache-dir --requirement requirements.txt \\
    && useradd --create-home --uid 1000 served
COPY . .

ENV PYTHONDONTWRITEBYTECODE=1
USER 1000
EXPOSE 8000
# Loads the model once more, for a moment.
HEALTHCHECK --interval=5m --timeout=2m --start-period=2m CMD ["python", "serve.py", "--check"]
ENTRYPOINT ["python", "serve.py"]
CMD ["--http", "0.0.0.0:8000"]
"""
APT = """
# hadolint ignore=DL3008 # Debian serves the newest build of a version only
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends {packages} \\
    && rm -rf /var/lib/apt/lists/*
"""


def pins(serving: Serving) -> tuple[str, ...]:
    """``onnxruntime==1.31.1``: what is installed here, where it is tried, of all that it takes.

    Raises DeployBenchError for what is not installed as a distribution.
    """
    wanted = (*serving.distributions, *ALWAYS)
    installed = installed_versions(wanted)
    found = []
    for name in wanted:
        if name not in installed:
            raise DeployBenchError(
                f"{name} is not installed as a distribution, so that no version can be pinned",
                action=f"pip install {name}",
            )
        found.append(f"{name}=={public(installed[name])}")
    return tuple(found)


def public(version: str) -> str:
    """The version without what a build adds for itself: 2.15.0 of 2.15.0+cpu."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def requirements(pinned: Sequence[str]) -> str:
    return "".join(f"{pin}\n" for pin in pinned)


def python_version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def dockerfile(serving: Serving, process: OfProcess) -> str:
    """The text. ``process`` may need the library of an allocator beside what the runtime needs."""
    wanted = {*serving.packages}
    if process.package:
        wanted.add(process.package)
    packages = ""
    if wanted:
        packages = APT.format(packages=" ".join(sorted(wanted)))
    return DOCKERFILE.format(python=python_version(), packages=packages)
