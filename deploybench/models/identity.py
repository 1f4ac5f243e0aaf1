"""What was built, told by looking at it: the code that was loaded, the module, its weights.

The name of a factory and its source file say little: it may load ``best.pth`` itself, read a
configuration, or call a module beside it. So the module is built, once more with another seed (are
its weights drawn or loaded?), and hashed with the source of all that was loaded for it and is not
installed. Installed packages count by their versions.
"""

from __future__ import annotations

import hashlib
import importlib.util
import random
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import numpy as np
import torch
from torch import nn

from deploybench.artifacts.built import Built
from deploybench.data.references import telling_inputs
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource

SEED, OTHER_SEED = 0, 1
INSTALLED = ("site-packages", "dist-packages")
OURS = "deploybench"
NO_CODE_OF_THE_MODEL = ("__main__", "__mp_main__")
"""The program that asks for an export: it is not what is exported."""
OF_EVERY_MODULE = frozenset(vars(nn.Module()))
"""Attributes that torch gives every module: tensors are in the state, and hooks are no values."""
DEEPEST = 4
"""Levels of lists, dictionaries and objects that are looked into."""


@dataclass(frozen=True)
class Fingerprint:
    """What one build showed. ``structure`` and ``values`` by the path of the value."""

    code: Mapping[str, str]
    structure: Mapping[str, str]
    values: Mapping[str, str]
    state_sha256: str

    def built(self, *, random: bool = False, volatile: Iterable[str] = ()) -> Built:
        """Its hashes, without the values that are ``volatile``."""
        left_out = frozenset(volatile)
        return Built(
            code=dict(self.code),
            structure_sha256=_hash_of(self.structure, left_out),
            values_sha256=_hash_of(self.values, left_out),
            state_sha256=self.state_sha256,
            torch=torch.__version__,
            random=random,
            volatile=tuple(sorted(left_out)),
        )


def build(source: ModelSource, name: str, options: BuildOptions, seed: int = SEED) -> BuiltModel:
    """Build from a fixed seed; what has to be looked at comes with its fingerprint.

    ``name`` is the source's own. torch's, numpy's and Python's generators are seeded: a factory
    that draws its weights draws the same at each call.
    """
    loaded_before = frozenset(sys.modules)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    built = source.build(name, options)
    if not source.must_be_looked_at(name):
        return built
    return replace(built, fingerprint=_fingerprint(name, built.module, loaded_before))


def look(source: ModelSource, name: str, options: BuildOptions) -> Built:
    """The identity of what is built under that name, found by building it.

    Raises DeployBenchError where nothing can be built, or where two builds from the same seed
    differ: the artifacts of such a model would each hold other weights.
    """
    torch.set_num_threads(1)  # as in an export: a sum depends on how many threads share it
    loaded_before = frozenset(sys.modules)
    built = build(source, name, options)
    first = built.fingerprint
    if first is None:
        first = _fingerprint(name, built.module, loaded_before)
    # One call as well: code may be imported as late as in forward.
    _call_once(built)
    code = _user_code(name, built.module, loaded_before)
    del built
    second = _rebuilt(source, name, options, OTHER_SEED)
    drawn = first.state_sha256 != second.state_sha256
    if drawn and _rebuilt(source, name, options, SEED).state_sha256 != first.state_sha256:
        raise DeployBenchError(
            f"the factory '{name}' builds other weights at each call, although the generators of "
            "torch, numpy and Python were seeded",
            expected="weights that are loaded, or drawn from a seed: artifacts of one model hold "
            "the same",
            action="seed what draws them in the factory",
        )
    return replace(first, code=code).built(random=drawn, volatile=_differing(first, second))


def check_same_build(name: str, found: BuiltModel, expected: Built) -> None:
    """Refuse code that is not the code that was exported and verified.

    Raises DeployBenchError that names what differs.
    """
    differing = [module for module, sha256 in expected.code.items() if _sha256_of(module) != sha256]
    if differing:
        raise _changed(name, "the code of " + ", ".join(differing))
    fingerprint = found.fingerprint
    if fingerprint is None or expected.torch != torch.__version__:
        return  # another torch's layers have other attributes; parity tells what they compute
    now = fingerprint.built(volatile=expected.volatile)
    if now.structure_sha256 != expected.structure_sha256:
        raise _changed(name, "the module that it builds (a class or a number in it)")


def _changed(name: str, what: str) -> DeployBenchError:
    return DeployBenchError(
        f"'{name}' is not what was exported: {what} differs",
        expected="the code that the artifact's weights were verified with",
        action="export it again, or go back to that code",
    )


def _rebuilt(source: ModelSource, name: str, options: BuildOptions, seed: int) -> Fingerprint:
    built = build(source, name, options, seed)
    return built.fingerprint or _fingerprint(name, built.module, frozenset(sys.modules))


def _call_once(built: BuiltModel) -> None:
    training = built.module.training
    try:
        with torch.no_grad():
            built.module.eval()(torch.from_numpy(telling_inputs(built.preprocessing)[:1]))
    except Exception:  # whatever is wrong with it, the export itself says it in a row
        return
    finally:
        built.module.train(training)


def _differing(first: Fingerprint, second: Fingerprint) -> list[str]:
    """The paths of the values that are not the same in two builds."""
    paths = []
    for one, other in ((first.structure, second.structure), (first.values, second.values)):
        paths += [path for path in one if path in other and one[path] != other[path]]
    return paths


def _fingerprint(name: str, module: nn.Module, loaded_before: frozenset[str]) -> Fingerprint:
    code = _user_code(name, module, loaded_before)
    structure: dict[str, str] = {}
    values: dict[str, str] = {}
    for path, part in module.named_modules():
        structure[path] = _name_of(type(part))
        for attribute, value in vars(part).items():
            if attribute not in OF_EVERY_MODULE:
                _describe(f"{path}.{attribute}", value, structure, values)
        for buffer in part._non_persistent_buffers_set:
            values[f"{path}.{buffer}"] = _tensor_hash(getattr(part, buffer))
    for user_module in code:
        # What stands in a module of the user's may come from anywhere: the environment, a file.
        for attribute, value in vars(sys.modules[user_module]).items():
            if isinstance(value, (int, float, str, bool, tuple)) and not attribute.startswith("__"):
                _describe(f"{user_module}:{attribute}", value, values, values)
    return Fingerprint(code, structure, values, _state_hash(module))


def _describe(
    path: str, value: object, structure: dict[str, str], values: dict[str, str], depth: int = 0
) -> None:
    """Write what a value is, without addresses, under its path.

    Numbers go to ``structure``; what may differ from host to host goes to ``values``.
    """
    deeper = partial(_describe, structure=structure, values=values, depth=depth + 1)
    if value is None or isinstance(value, (bool, int, float, complex)):
        structure[path] = repr(value)
    elif isinstance(value, (str, torch.dtype, torch.device)):
        values[path] = repr(value)
    elif isinstance(value, torch.Tensor):
        values[path] = _tensor_hash(value)
    elif isinstance(value, np.ndarray):
        values[path] = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    elif isinstance(value, type):
        structure[path] = _name_of(value)
    elif isinstance(value, nn.Module):
        structure[path] = _name_of(type(value))
        values[f"{path}.state"] = _state_hash(value)  # in a plain list torch does not know of it
    elif isinstance(value, MethodType):
        structure[path] = value.__func__.__qualname__
    elif isinstance(value, FunctionType):
        structure[path] = f"{_name_of(value)}:{value.__code__.co_firstlineno}"
        for index, cell in enumerate(value.__closure__ or ()):
            deeper(f"{path}.closure{index}", cell.cell_contents)
        deeper(f"{path}.defaults", value.__defaults__)
    elif isinstance(value, partial):
        deeper(f"{path}.function", value.func)
        deeper(f"{path}.arguments", value.args)
        deeper(f"{path}.keywords", value.keywords)
    elif depth >= DEEPEST:
        return
    elif isinstance(value, (list, tuple)):
        structure[path] = f"{type(value).__name__} of {len(value)}"
        for index, inner in enumerate(value):
            deeper(f"{path}.{index}", inner)
    elif isinstance(value, Mapping):
        structure[path] = f"mapping of {len(value)}"
        for key, inner in value.items():
            deeper(f"{path}.{key!r}" if isinstance(key, (str, int)) else f"{path}.key", inner)
    elif isinstance(value, (set, frozenset)):
        values[path] = repr(sorted(repr(inner) for inner in value))
    else:
        structure[path] = _name_of(type(value))
        for attribute, inner in getattr(value, "__dict__", {}).items():
            deeper(f"{path}.{attribute}", inner)


def _name_of(thing: object) -> str:
    module = getattr(thing, "__module__", "")
    return f"{module}.{getattr(thing, '__qualname__', '')}"


def _hash_of(descriptions: Mapping[str, str], left_out: frozenset[str]) -> str:
    digest = hashlib.sha256()
    for path, description in sorted(descriptions.items()):
        if path not in left_out:
            digest.update(f"{path}={description}\n".encode())
    return digest.hexdigest()


def _state_hash(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            digest.update(f"{name}|{_tensor_hash(tensor)}\n".encode())
    return digest.hexdigest()


def _tensor_hash(tensor: torch.Tensor | None) -> str:
    """Over the dtype, the shape and the bytes."""
    if tensor is None or tensor.is_meta or tensor.layout is not torch.strided:
        return "no plain tensor"
    plain = tensor.detach().cpu().contiguous()
    if plain.is_quantized:
        plain = plain.int_repr()
    digest = hashlib.sha256(f"{plain.dtype}|{tuple(plain.shape)}|".encode())
    digest.update(plain.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _user_code(name: str, module: nn.Module, loaded_before: frozenset[str]) -> dict[str, str]:
    """The hash of the file of every module behind the built one that is the user's own.

    Those are what was loaded for it, and, in a process that had loaded them before, what its
    classes and the factory's module lead to.
    """
    waiting = set(sys.modules) - loaded_before
    waiting |= {type(part).__module__ for part in module.modules()}
    waiting.add(name.partition(":")[0])
    hashes: dict[str, str] = {}
    while waiting:
        candidate = waiting.pop()
        found = sys.modules.get(candidate)
        if found is None or candidate in hashes or not _is_users(found):
            continue
        sha256 = _sha256_of(candidate)
        if sha256 is not None:
            hashes[candidate] = sha256
            waiting |= set(_leads_to(found))
    return hashes


def _leads_to(module: ModuleType) -> Iterator[str]:
    """The names of the modules that the module's own names come from."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        else:
            origin = getattr(value, "__module__", None)
            if isinstance(origin, str):
                yield origin


def _is_users(module: ModuleType) -> bool:
    """Whether a module is neither installed, nor Python's, nor ours."""
    file = getattr(module, "__file__", None)
    top = module.__name__.partition(".")[0]
    if not isinstance(file, str) or top == OURS or module.__name__ in NO_CODE_OF_THE_MODEL:
        return False
    path = Path(file)
    if any(folder in path.parts for folder in INSTALLED):
        return False
    standard = (Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("platstdlib")))
    return not any(folder in path.parents for folder in standard)


def _sha256_of(module: str) -> str | None:
    """Over the source file of a module by name; None where there is no such module."""
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module)
        except Exception:  # finding a submodule imports the user's package
            return None
        origin = None if spec is None else spec.origin
    if origin is None or not Path(origin).is_file():
        return None
    return hashlib.sha256(Path(origin).read_bytes()).hexdigest()
