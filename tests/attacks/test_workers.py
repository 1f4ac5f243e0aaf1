"""What a worker gets from its parent, and what it may write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.children.environment import without_secrets
from deploybench.children.inherited import LARGEST_FILE_BYTES
from deploybench.children.processes import child_environment
from tests.attacks.hostile import attack

KIND = "Workers"
SECRET = ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "aws_session_token", "GITHUB_TOKEN", "MY_API_KEY")
SECRET += ("PGPASSWORD", "GOOGLE_APPLICATION_CREDENTIALS", "SSH_AUTH_SOCK")
NEEDED = ("PATH", "HOME", "LD_LIBRARY_PATH", "DEPLOYBENCH_STATE", "TOKENIZERS_PARALLELISM", "LANG")


@attack(
    KIND,
    "a model's code that looks for tokens and passwords in its environment",
    "all of them were there",
    "none is there",
)
def test_workers_get_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRET, *NEEDED):
        monkeypatch.setenv(name, "value")
    given = child_environment(tmp_path, {})
    assert not set(SECRET) & set(given)
    assert set(NEEDED) <= set(given)
    assert without_secrets({"a": "1"}) == {"a": "1"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@attack(
    KIND,
    "a model that crashes its runtime, or writes without an end",
    "a core file of gigabytes where the system writes them; the disk full",
    "no core file; at most 64 GiB in one file",
)
def test_workers_write_no_core_file() -> None:
    program = (
        "import resource\n"
        "from deploybench.children.processes import die_with_parent\n"
        "die_with_parent()\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])\n"
        "print(resource.getrlimit(resource.RLIMIT_FSIZE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    core, largest = (int(line) for line in done.stdout.split())
    assert core == 0
    assert 0 < largest <= LARGEST_FILE_BYTES
