"""``package.module:factory``: the user's own model.

The factory is called and has to return an ``nn.Module``.

Keyword arguments ``num_classes``, ``in_channels`` and ``patch_size`` are passed when they are asked
for and the factory takes them. The input is described by the module's ``pretrained_cfg`` (timm's
keys) where it has one; a factory of torchvision's has the size and the normalisation of
torchvision's own weights (inception_v3: 299 x 299). Any other has the channels of the first
convolution, and what neither it nor the user says is assumed: 224 x 224 pixels, ImageNet's mean and
standard deviation.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource
from deploybench.models.timm_source import head_of, own_preprocessing_of
from deploybench.models.torchvision_images import torchvision_files, torchvision_preprocessing


class PythonSource(ModelSource):
    """Factories in importable modules; the current folder is importable, after all else."""

    def names(self) -> list[str]:
        return []

    def identity(self, name: str) -> dict[str, str]:
        module, _, _ = name.partition(":")
        add_current_folder()
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            spec = None
        except Exception as error:  # finding a submodule imports the user's package
            raise DeployBenchError(
                f"importing the package of '{name}' raised {type(error).__name__}: {error}"
            ) from error
        if spec is None or spec.origin is None or not Path(spec.origin).is_file():
            hidden = hidden_module(module)
            if hidden is not None:
                raise _name_taken(name, hidden)
            raise DeployBenchError(
                f"the module '{module}' of model '{name}' cannot be found from {Path.cwd()}",
                expected="a short name, timm:NAME, or package.module:factory",
                action="run from the folder that holds the module, or install it; deploybench "
                "models lists short names",
            )
        return {"code_sha256": _code_hash(Path(spec.origin), depth=module.count("."))}

    def must_be_looked_at(self, name: str) -> bool:
        return True

    def check(self, name: str) -> None:
        load_factory(name)

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        import torch

        if options.pretrained:
            raise DeployBenchError(
                f"--pretrained does not work for '{name}'",
                action="load the weights in the factory, or --checkpoint",
            )
        factory = load_factory(name)
        given = _arguments(factory, name, options)
        try:
            module = factory(**given)
        except Exception as error:  # the user's code may raise anything
            raise DeployBenchError(
                f"the factory '{name}' raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(module, torch.nn.Module):
            raise DeployBenchError(
                f"the factory '{name}' returned a {type(module).__name__}",
                expected="a torch.nn.Module",
            )
        preprocessing = torchvision_preprocessing(factory, options.image_size)
        of_torchvision = preprocessing is not None
        if preprocessing is None:
            preprocessing = own_preprocessing_of(module, options.image_size)
        fill = options.in_channels or _first_channels(module) or preprocessing.channels
        if preprocessing.channels != fill:
            preprocessing = preprocessing.replaced(
                channels=fill, mean=preprocessing.mean[:1] * fill, std=preprocessing.std[:1] * fill
            )
        head, width = _last_linear(module)
        return BuiltModel(
            module=module,
            preprocessing=preprocessing,
            num_classes=options.num_classes or width,
            head=head_of(module) or head,
            arguments=given,
            own_weights=True,
            usual_preprocessing=of_torchvision,
            known_files=torchvision_files(factory, options.image_size),
        )


def add_current_folder() -> None:
    """Make the current folder importable, after everything else.

    At the end of the search path a ``statistics.py`` or ``numpy.py`` in it takes nothing's place.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def hidden_module(module: str) -> str | None:
    """Words for a module of the current folder that an installed one of the same name hides, or
    None."""
    top = module.partition(".")[0]
    here = Path.cwd()
    own = next((path for path in (here / f"{top}.py", here / top) if path.exists()), None)
    spec = importlib.util.find_spec(top)
    if own is None or spec is None:
        return None
    taken = spec.origin or ", ".join(spec.submodule_search_locations or ())
    if not taken or here in Path(taken).parents:
        return None
    return f"'{top}' is {taken} and hides {own}"


def _code_hash(origin: Path, depth: int) -> str:
    """sha256 over the module's file, or over all Python files of its top-level package when it is
    in one."""
    inside = depth - (origin.name != "__init__.py")
    files = sorted(origin.parents[inside].rglob("*.py")) if inside >= 0 else [origin]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}|".encode() + path.read_bytes())
    return digest.hexdigest()


def load_factory(name: str) -> Any:
    """The callable that ``package.module:factory`` names. Raises DeployBenchError."""
    module_name, _, attribute = name.partition(":")
    add_current_folder()
    try:
        target: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError) as error:
        hidden = hidden_module(module_name)
        if hidden is not None:
            raise _name_taken(name, hidden) from error
        raise DeployBenchError(f"the model '{name}' cannot be loaded: {error}") from error
    if not callable(target):
        raise DeployBenchError(
            f"'{name}' is a {type(target).__name__}", expected="a function or class to call"
        )
    return target


def _name_taken(name: str, hidden: str) -> DeployBenchError:
    return DeployBenchError(
        f"the model '{name}' cannot be loaded: {hidden}",
        expected="a module name that nothing installed has",
        action="rename the file or folder, or put it into a package of your own",
    )


def _arguments(factory: Any, name: str, options: BuildOptions) -> dict[str, int]:
    asked = {
        "num_classes": options.num_classes,
        "in_channels": options.in_channels,
        "patch_size": options.patch_size,
    }
    parameters = inspect.signature(factory).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {}
    for key, value in asked.items():
        if value is None:
            continue
        if key in parameters or takes_any:
            given[key] = value
        elif key != "in_channels":
            raise DeployBenchError(
                f"the factory '{name}' takes no argument '{key}'",
                action=f"add it, or leave --{key.replace('_', '-')}",
            )
    return given


def _first_channels(module: Any) -> int | None:
    """The channels that the first convolution takes, where there is one."""
    import torch

    return next(
        (part.in_channels for part in module.modules() if isinstance(part, torch.nn.Conv2d)), None
    )


def _last_linear(module: Any) -> tuple[str | None, int]:
    """The path and width of the last linear layer: the classifier of every usual network."""
    import torch

    found: tuple[str | None, int] = (None, 0)
    for path, part in module.named_modules():
        if isinstance(part, torch.nn.Linear):
            found = (path, part.out_features)
    return found
