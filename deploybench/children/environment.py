"""Which variables of the user's environment reach the children, and which are told of.

A variable that sets threads or where they run is *cleared* for every child: the harness gives each
runtime its budget itself, and OMP_THREAD_LIMIT=1 or GOMP_CPU_AFFINITY=0 would make two threads one
without a word. One that changes numbers otherwise (another allocator, oneDNN's instruction set) is
the user's choice: it is *kept*, and *said* on the row. The rest that has to do with the runtimes is
kept and stands in the record. What this program sets itself is not the user's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from fnmatch import fnmatchcase

LONGEST_VALUE = 400
"""Characters of a value that a record keeps."""


class Policy(Enum):
    """What is done with a variable."""

    CLEARED = "cleared"
    SAID = "said"
    RECORDED = "recorded"


OURS = ("ORT_DISABLE_TELEMETRY", "PYTHONWARNINGS", "PYTHONUTF8", "PYTHONIOENCODING")
POLICIES: tuple[tuple[Policy, tuple[str, ...]], ...] = (
    # The first pattern that a name matches decides, so exceptions stand before their kind.
    (Policy.RECORDED, ("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "OMP_DISPLAY_*", "OMP_TOOL*")),
    (
        Policy.CLEARED,
        (
            *("OMP_*", "GOMP_*", "KMP_*"),
            *("MKL_NUM_THREADS*", "MKL_DOMAIN_NUM_THREADS", "MKL_DYNAMIC"),
            *("OPENBLAS_NUM_THREADS", "OPENBLAS_DEFAULT_NUM_THREADS", "OPENBLAS_MAIN_FREE"),
            *("GOTO_NUM_THREADS", "BLIS_NUM_THREADS", "BLIS_*_NT", "VECLIB_MAXIMUM_THREADS"),
            *("NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "TBB_NUM_THREADS"),
        ),
    ),
    (
        Policy.RECORDED,
        (
            *("PYTORCH_VERSION", "PYTORCH_BUILD_*", "TORCHINDUCTOR_CACHE_DIR", "TORCH_HOME"),
            *("CUDNN_VERSION", "CUBLAS_VERSION", "MKL_ROOT", "MKLROOT", "OV_VERSION"),
        ),
    ),
    (
        Policy.SAID,
        (
            *("LD_PRELOAD", "LD_AUDIT", "LD_BIND_NOW", "DYLD_INSERT_LIBRARIES"),
            *("MALLOC_*", "MIMALLOC_*", "TCMALLOC_*", "JEMALLOC_*", "_RJEM_*", "GLIBC_TUNABLES"),
            *("ONEDNN_*", "DNNL_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "ATEN_*"),
            *("PYTORCH_*", "TORCHINDUCTOR_*", "TORCHDYNAMO_*", "TORCH_ALLOW_*", "TORCH_BLAS_*"),
            *("TORCH_COMPILE_*", "TORCH_CUDNN_*", "TORCH_LINEAR_*", "TORCH_NNPACK_*"),
            *("OV_*", "ORT_*", "CUDA_LAUNCH_BLOCKING", "NVIDIA_TF32_OVERRIDE", "CUBLAS*"),
            *("CUDNN_*", "PYTHONMALLOC", "PYTHONDEVMODE", "PYTHONTRACEMALLOC", "PYTHONOPTIMIZE"),
            *("PYTHON_GIL", "PYTHON_JIT", "PYTHONDEBUG", "PYTHONPROFILEIMPORTTIME"),
        ),
    ),
    (
        Policy.RECORDED,
        (
            *("LD_LIBRARY_PATH", "CUDA_*", "NVIDIA_*", "NCCL_*", "TORCH*", "OPENVINO_*", "TRT_*"),
            *("TRITON_*", "PYTHONPATH", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONFAULTHANDLER"),
        ),
    ),
)


SECRETS = (
    *("*TOKEN", "*TOKEN_*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*CREDENTIAL*", "*API_KEY*"),
    *("*ACCESS_KEY*", "*PRIVATE_KEY*", "SSH_AUTH_SOCK", "AWS_SESSION*", "*CONNECTION_STRING"),
)
"""What programs call the variables in which they are given what nobody else may know."""
NO_SECRETS = ("DEPLOYBENCH_", "TOKENIZERS_")


def policy_of(name: str) -> Policy | None:
    """What is done with a variable of that name; None: it reaches children and is not told of."""
    if name in OURS:
        return None
    for policy, patterns in POLICIES:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return policy
    return None


def without_cleared(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what is cleared."""
    return {
        name: value for name, value in environment.items() if policy_of(name) is not Policy.CLEARED
    }


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without passwords, tokens and keys: a worker needs none, since it uses no
    network, and what it runs may come from elsewhere."""
    return {name: value for name, value in environment.items() if not _is_secret(name)}


def _is_secret(name: str) -> bool:
    if name.startswith(NO_SECRETS):
        return False
    return any(fnmatchcase(name.upper(), pattern) for pattern in SECRETS)


def cleared_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that children do not get, by name, for the record."""
    return _with(environment, Policy.CLEARED)


def kept_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that reach the runtimes and have to do with them, by name, for the record."""
    kept = {**_with(environment, Policy.SAID), **_with(environment, Policy.RECORDED)}
    return dict(sorted(kept.items()))


def said_of(kept: Mapping[str, str]) -> dict[str, str]:
    """Those of the kept variables that change numbers."""
    return _with(kept, Policy.SAID)


@contextmanager
def cleared_here() -> Iterator[None]:
    """This process without what is cleared for children, for work that is done in it.

    A runtime that is loaded meanwhile sees nothing of it; one that was loaded before has read it.
    """
    before = {name: os.environ[name] for name in os.environ if policy_of(name) is Policy.CLEARED}
    for name in before:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(before)


def without_search_path(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables for another interpreter than this one: without the places of our modules, which
    may be for another version of Python or hide what is installed there."""
    ours = ("PYTHONPATH", "PYTHONHOME")
    return {name: value for name, value in variables.items() if name not in ours}


def in_words(variables: Mapping[str, str]) -> str:
    """``LD_PRELOAD=libjemalloc.so, MALLOC_ARENA_MAX=1``, whatever characters a value holds."""
    parts = []
    for name, value in variables.items():
        shown = value if value.isprintable() else ascii(value)
        parts.append(f"{name}={shown}")
    return ", ".join(parts)


def _with(environment: Mapping[str, str], policy: Policy) -> dict[str, str]:
    found = {}
    for name in sorted(environment):
        # an empty value is how some shells unset a variable, and libraries read it as unset
        if environment[name] and policy_of(name) is policy:
            found[name] = environment[name][:LONGEST_VALUE]
    return found
