"""A profile as TOML text.

:func:`deploybench.hardware.profile.parse_profile` reads it back as the same profile.
"""

from __future__ import annotations

import tomli_w

from deploybench.hardware.profile import Profile


def profile_toml(profile: Profile, remarks: tuple[str, ...] = ()) -> str:
    """The text of a profile file; ``remarks`` stand above it as comments.

    Fields with their default values are left out.
    """
    comments = [f"# {line}" for line in "\n".join(remarks).splitlines()]
    content = profile.model_dump(mode="json", exclude_defaults=True)
    return "\n".join([*comments, tomli_w.dumps(content)])
