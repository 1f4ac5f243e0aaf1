"""What one model looks at in one image: panels to look at, maps to compare, and measures.

The attention is what :func:`deploybench.models.attention_maps.read_attention` reads beside the
model's own forward pass. Each panel says what it is, and what it is not.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deploybench.attention.cam import grad_cam
from deploybench.attention.grids import Grid, Pixel, grid_of
from deploybench.attention.numbers import entropy, mean_distance, rollout
from deploybench.errors import DeployBenchError
from deploybench.models.attention_maps import AttentionMap, IncompleteAttention, read_attention
from deploybench.plurals import counted

Array = npt.NDArray[np.float64]
GRAD_CAM = "Grad-CAM"
CLASS_ACTIVATION = "class activation"


@dataclass(frozen=True)
class Cell:
    """One map. ``on_image``: its places are those of the image; ``marked`` is the pixel that
    asks."""

    values: Array
    on_image: bool = True
    marked: Pixel | None = None


@dataclass(frozen=True)
class Panel:
    """Rows x columns of maps, with the words above; ``limits`` say what it does not show."""

    title: str
    what: str
    limits: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Measure:
    """A number of one layer for one image; ``entropy`` has no unit, ``distance`` pixels."""

    quantity: str
    layer: str
    value: float


@dataclass
class Sight:
    """All of one model and one image; ``importance`` has a map of the image for each mechanism, and
    ``told`` what that map is and what it is not, in two sentences."""

    answer: int | None = None
    panels: list[Panel] = field(default_factory=list)
    importance: dict[str, Array] = field(default_factory=dict)
    told: dict[str, tuple[str, str]] = field(default_factory=dict)
    measures: list[Measure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def keep(self, mechanism: str, values: Array, what: str, limits: str) -> None:
        """A map of the image."""
        self.importance[mechanism] = values
        self.told[mechanism] = what, limits


def look(model: nn.Module, image: torch.Tensor, pixels: Sequence[Pixel]) -> Sight:
    """What the model, in eval mode, looks at in the image (1 x channels x height x width)."""
    sight = Sight()
    size = (int(image.shape[2]), int(image.shape[3]))
    maps = _maps(model, image, sight)
    if not maps:
        why = f" ({'; '.join(sight.notes)})" if sight.notes else ""
        sight.notes = [f"the model has no attention that can be read{why}: Grad-CAM only"]
    for quantity, found in _by_quantity(maps).items():
        _add(sight, quantity, found, model, size, pixels)
    try:
        cam = grad_cam(model, image)
    except DeployBenchError as error:
        sight.notes.append(f"no Grad-CAM: {error.found}")
        return sight
    sight.answer = cam.answer
    what = f"at {cam.layer}, of class {cam.answer}, the model's first answer"
    limits = "Evidence for one answer; no attention, and as coarse as the layer's map."
    if not cam.values.any():
        limits += " All of it is negative here, so that nothing is left."
    sight.keep(GRAD_CAM, cam.values, what, limits)
    sight.panels.append(_row(GRAD_CAM, what, limits, ("",), [Cell(cam.values)]))
    return sight


def _maps(model: nn.Module, image: torch.Tensor, sight: Sight) -> list[AttentionMap]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", IncompleteAttention)
        try:
            found = read_attention(model, image)
        except DeployBenchError as error:
            sight.notes.append(error.found)
            return []
    for warning in caught:
        if issubclass(warning.category, IncompleteAttention):
            sight.notes.append(str(warning.message))
    return [one for one in found if one.reading.quantity != CLASS_ACTIVATION]


def _by_quantity(maps: Sequence[AttentionMap]) -> dict[str, list[AttentionMap]]:
    groups: dict[str, list[AttentionMap]] = {}
    for one in maps:
        groups.setdefault(one.reading.quantity, []).append(one)
    return groups


def _add(
    sight: Sight,
    quantity: str,
    maps: Sequence[AttentionMap],
    model: nn.Module,
    size: tuple[int, int],
    pixels: Sequence[Pixel],
) -> None:
    """The panels, the map and the measures of the layers that have this quantity."""
    axes = maps[-1].reading.axes
    for one in maps:
        if one.reading.sums_to_one:
            value = entropy(_array(one))
            sight.measures.append(Measure("entropy", one.layer, value))
    if axes[-2:] == ("channel", "channel"):
        sight.panels.append(_channels(quantity, maps[-1]))
        sight.notes.append(
            f"{quantity}: between channels, no map of the image; it has no distance, and takes no "
            "part in agreements"
        )
    elif axes == ("image", "head", "token"):
        _add_tokens(sight, quantity, maps[-1], size)
    elif axes == ("window", "head", "query", "key"):
        _add_windows(sight, quantity, maps, model, size, pixels)
    elif axes == ("image", "head", "query", "key"):
        _add_weights(sight, quantity, maps, size, pixels)
    else:
        sight.notes.append(f"{quantity} of {maps[-1].layer} ({', '.join(axes)}): no panel for it")


def _add_weights(
    sight: Sight,
    quantity: str,
    maps: Sequence[AttentionMap],
    size: tuple[int, int],
    pixels: Sequence[Pixel],
) -> None:
    last = maps[-1]
    values = _array(last)[0]  # heads x queries x keys
    heads, queries, keys = values.shape
    grid = grid_of(keys, size)
    if grid is None:
        sight.notes.append(f"{quantity} of {last.layer}: {keys} keys are no grid of the image")
        return
    if queries == 1:
        cells = [_on_grid(values[head, 0], grid) for head in range(heads)]
        what = f"{last.layer}: the class token asks, every head by itself"
        limits = "The only layers here that weigh places; what the others mixed before is not seen."
        sight.panels.append(_row("Class attention", what, limits, _heads(heads), cells))
        sight.keep("class attention", _mean(cells), what, limits)
        return
    if queries != keys:
        sight.notes.append(f"{quantity} of {last.layer}: {queries} queries for {keys} keys")
        return
    signed = not last.reading.sums_to_one
    limits = "One layer; what earlier layers mixed into each place is not seen."
    if signed:
        limits = (
            "No distribution: the weights may be negative and sum to anything, because "
            "projected mixtures of tokens stand for the keys. " + limits
        )
    table = []
    for head in range(heads):
        asked = [values[head, grid.token(pixel, size)] for pixel in pixels]
        table.append(
            tuple(
                Cell(_on_grid(row, grid).values, marked=pixel)
                for row, pixel in zip(asked, pixels, strict=True)
            )
        )
    sight.panels.append(
        Panel(
            f"{quantity.capitalize()} at {counted(len(pixels), 'pixel')}",
            f"{last.layer}: where each marked pixel looks, every head by itself",
            limits,
            _heads(heads),
            tuple(f"pixel {y},{x}" for y, x in pixels),
            tuple(table),
        )
    )
    distances = [one for one in maps if one.reading.sums_to_one]
    for one in distances:
        _add_distance(sight, one, size)
    if signed:
        sight.notes.append(
            f"{quantity}: weights that are no distribution have no entropy or distance"
        )
    summary = np.abs(values)
    if grid.prefix:
        cells = [_on_grid(values[head, 0], grid) for head in range(heads)]
        what = f"{last.layer}: where the first token, the class token, looks"
        sight.panels.append(_row("Class token", what, limits, _heads(heads), cells))
        name, seen = "class token", summary[:, 0].mean(0)
    else:
        what = f"{last.layer}: what all places together look at"
        name, seen = "mean over the queries", summary.mean((0, 1))
    sight.keep(f"{quantity}, {name}", _on_grid(seen, grid).values, f"{what}; mean of heads", limits)
    same = all(_array(one).shape[-1] == keys for one in maps)
    without = ""
    if signed:
        without = "the weights are no distribution"
    elif not grid.prefix:
        without = "no class token asks"
    elif not same:
        without = "the layers have maps of several sizes"
    elif len(maps) < 2:
        without = "one layer has attention"
    if without:
        sight.notes.append(f"no rollout of {quantity}: {without}")
        return
    through = rollout([_array(one)[0] for one in maps])
    cell = _on_grid(through[0], grid)
    what = f"of the class token through {counted(len(maps), 'layer')} (Abnar and Zuidema 2020)"
    limits = "Heads are averaged, values and MLPs left out: an estimate, no cause of the answer."
    sight.panels.append(_row("Rollout", what, limits, ("",), [cell]))
    sight.keep("rollout", cell.values, what, limits)


def _add_distance(sight: Sight, one: AttentionMap, size: tuple[int, int]) -> None:
    values = _array(one)
    grid = grid_of(values.shape[-1], size)
    if grid is None or values.shape[-1] != values.shape[-2]:
        sight.notes.append(f"no distance of {one.layer}: its keys are no grid of the image")
        return
    places = values[..., grid.prefix :, grid.prefix :]
    step = (size[0] / grid.height, size[1] / grid.width)
    sight.measures.append(Measure("distance", one.layer, mean_distance(places, grid.shape, step)))


def _add_tokens(sight: Sight, quantity: str, one: AttentionMap, size: tuple[int, int]) -> None:
    values = _array(one)[0]  # heads x tokens
    grid = grid_of(values.shape[-1], size)
    if grid is None:
        sight.notes.append(f"{quantity} of {one.layer}: no grid of the image")
        return
    cells = [_on_grid(row, grid) for row in values]
    what = f"{one.layer}: one weight for each token, the same for every query"
    limits = "No map from place to place: this mechanism has none. One layer."
    sight.panels.append(_row(quantity.capitalize(), what, limits, _heads(len(cells)), cells))
    sight.keep(quantity, _mean(cells), f"{what}; mean of heads", limits)


def _channels(quantity: str, one: AttentionMap) -> Panel:
    values = _array(one)[0]  # heads x channels x channels
    cells = [Cell(head, on_image=False) for head in values]
    what = f"{one.layer}: how much of each channel (column) goes into each channel (row)"
    limits = "Channels, no places: it does not say where the model looks; Grad-CAM does."
    return _row(f"{quantity.capitalize()}", what, limits, _heads(len(cells)), cells)


def _add_windows(
    sight: Sight,
    quantity: str,
    maps: Sequence[AttentionMap],
    model: nn.Module,
    size: tuple[int, int],
    pixels: Sequence[Pixel],
) -> None:
    """Windows of the last layer that has several, or of the last; each query sees its own only."""
    for one in maps:
        _add_window_distance(sight, one, size)
    several = [one for one in maps if len(_array(one)) > 1]
    last = several[-1] if several else maps[-1]
    values = _array(last)  # windows x heads x queries x keys
    inside = grid_of(values.shape[-1], (1, 1))
    across = grid_of_windows(len(values), size)
    if inside is None or inside.prefix or across is None:
        sight.notes.append(f"{quantity} of {last.layer}: the windows are no grid of the image")
        return
    block = model.get_submodule(last.layer.rpartition(".")[0])
    shift = getattr(block, "shift_size", (0, 0))
    down, right = (shift, shift) if isinstance(shift, int) else (int(shift[0]), int(shift[1]))
    grid = Grid(0, across[0] * inside.height, across[1] * inside.width)
    heads = values.shape[1]
    table = []
    for head in range(heads):
        row = []
        for pixel in pixels:
            y, x = grid.place(pixel, size)
            # The block rolls its map back by the shift before it cuts it into windows.
            y, x = (y - down) % grid.height, (x - right) % grid.width
            window = y // inside.height * across[1] + x // inside.width
            query = y % inside.height * inside.width + x % inside.width
            parts = np.full((len(values), values.shape[-1]), np.nan)
            parts[window] = values[window, head, query]
            whole = np.roll(_whole(parts, inside, across), (down, right), axis=(0, 1))
            row.append(Cell(whole, marked=pixel))
        table.append(tuple(row))
    shifted = ", shifted" if down or right else ""
    sight.panels.append(
        Panel(
            f"{quantity.capitalize()} at {counted(len(pixels), 'pixel')}",
            f"{last.layer}{shifted}: where each marked pixel looks within its own window",
            "What is not coloured lies outside the window and cannot be seen by this layer. "
            "Windows mix across layers; that is not shown.",
            _heads(heads),
            tuple(f"pixel {y},{x}" for y, x in pixels),
            tuple(table),
        )
    )
    received = values.mean((1, 2))  # windows x keys
    whole = np.roll(_whole(received, inside, across), (down, right), axis=(0, 1))
    what = f"{last.layer}{shifted}: how much each place is looked at from its own window"
    limits = "Outside its window a place is not seen by this layer."
    sight.keep("attention received within windows", whole, what, limits)


def _add_window_distance(sight: Sight, one: AttentionMap, size: tuple[int, int]) -> None:
    values = _array(one)
    inside = grid_of(values.shape[-1], (1, 1))
    across = grid_of_windows(len(values), size)
    if inside is None or inside.prefix or across is None:
        sight.notes.append(f"no distance of {one.layer}: its windows are no grid of the image")
        return
    step = (size[0] / (across[0] * inside.height), size[1] / (across[1] * inside.width))
    sight.measures.append(Measure("distance", one.layer, mean_distance(values, inside.shape, step)))


def grid_of_windows(windows: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of so many square windows over an image of that shape."""
    for rows in range(1, windows + 1):
        if windows % rows == 0 and rows * size[1] == windows // rows * size[0]:
            return rows, windows // rows
    return None


def _whole(parts: Array, inside: Grid, across: tuple[int, int]) -> Array:
    """Windows x places, put together: a map of the image."""
    tiles = parts.reshape(*across, *inside.shape)
    height, width = across[0] * inside.height, across[1] * inside.width
    whole: Array = tiles.transpose(0, 2, 1, 3).reshape(height, width)
    return whole


def _row(
    title: str, what: str, limits: str, columns: tuple[str, ...], cells: Sequence[Cell]
) -> Panel:
    return Panel(title, what, limits, ("",), columns, (tuple(cells),))


def _heads(count: int) -> tuple[str, ...]:
    return tuple(f"head {number}" for number in range(1, count + 1))


def _on_grid(row: Array, grid: Grid) -> Cell:
    return Cell(row[grid.prefix :].reshape(grid.shape))


def _mean(cells: Sequence[Cell]) -> Array:
    mean: Array = np.mean([cell.values for cell in cells], axis=0)
    return mean


def _array(one: AttentionMap) -> Array:
    values: Array = one.reading.values.detach().double().cpu().numpy()
    return values
