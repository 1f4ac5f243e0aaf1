"""Which weights a module does not use in eval: proved on the module itself.

An auxiliary head is a member of many networks and takes part in training alone. With NaN in its
weights the outputs stay what they were; those of any weight that is used do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch


@torch.no_grad()
def unused_in_eval(
    module: torch.nn.Module, names: Sequence[str], example: Callable[[], torch.Tensor]
) -> list[str]:
    """Those of the named tensors that do not change any output in eval.

    Tried by groups: a member of the module is unused as a whole, or it is not. ``example`` gives
    images x channels x height x width, float32. A module that does not run, or that is random in
    eval, proves nothing: then all count as used.
    """
    training = module.training
    module.eval()
    try:
        images = example()
        before = _outputs(module, images)
        if not _equal(before, _outputs(module, images)):
            return []
        groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            groups[name.partition(".")[0]].append(name)
        unused = []
        tensors = module.state_dict()
        for group in groups.values():
            # Whole numbers know no NaN, and another index may do no harm on these images.
            if not all(tensors[name].is_floating_point() for name in group):
                continue
            if _equal(before, _outputs_without(module, group, images)):
                unused += group
        return unused
    except Exception:  # the user's module may raise anything
        return []
    finally:
        module.train(training)


def _outputs_without(
    module: torch.nn.Module, names: Sequence[str], images: torch.Tensor
) -> list[torch.Tensor]:
    """The outputs with NaN in the named tensors; they are as before afterwards."""
    tensors = module.state_dict()
    kept = {name: tensors[name].clone() for name in names}
    try:
        for name in names:
            tensors[name].fill_(float("nan"))
        return _outputs(module, images)
    finally:
        for name, tensor in kept.items():
            tensors[name].copy_(tensor)


def _outputs(module: torch.nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    return list(_tensors_in(module(images)))


def _tensors_in(output: object) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors_in(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors_in(value)


def _equal(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> bool:
    if not before or len(before) != len(after):
        return False
    return all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
