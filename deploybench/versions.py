"""Which version of a distribution is installed, and versions that compare."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

LEADING_NUMBERS = re.compile(r"\d+(\.\d+)*")


def installed_versions(distributions: tuple[str, ...]) -> dict[str, str]:
    """The installed version of each distribution; those that are not installed are left out."""
    versions = {}
    for name in distributions:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def comparable(text: str) -> Version:
    """A version that compares: 2.6 equals 2.6.0, and 2.6.0rc1 is older (PEP 440).

    Of a text that is no such version (a driver's, a vendor's build) the leading numbers count; 0
    where there are none.
    """
    try:
        return Version(text)
    except InvalidVersion:
        leading = LEADING_NUMBERS.match(text)
        if leading is None:
            return Version("0")
        return Version(leading.group())
