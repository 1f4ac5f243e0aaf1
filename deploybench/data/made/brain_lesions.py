"""What the nine findings look like in a synthetic image: drawn, not simulated, and not medical.

Each finding is a function that changes a plane of intensities in place. They are told apart by
shape, place, brightness and number, with large differences within each: learnable, not trivial.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from deploybench.data.made.brain_template import Plane, Slice

DARK, BRIGHT = 0.04, 0.95
MIDLINE_MM, SELLA_MM = 98, 141
"""Of the grid: the plane of symmetry, and how far to the front the pituitary gland lies."""
BUMPS = 4


@dataclass(frozen=True)
class Canvas:
    """A plane to draw on: its intensities (197 x 233, from 0 to 1), the tissue below, and the
    patient's own randomness. ``site`` is the tissue of the plane through the lesion's middle, in
    which its place is found. ``strength`` scales what is drawn, ``extent`` its radii: a slice next
    to the middle shows less of it."""

    levels: Plane
    tissue: Slice
    site: Slice
    draw: np.random.Generator
    strength: float
    extent: float

    def mix(self, where: Plane, level: float) -> None:
        """Move the intensities towards a level, by so much of the way at each point."""
        share = np.clip(where * min(self.strength, 1), 0, 1)
        self.levels[...] += share * (level - self.levels)

    def point_in(self, tissue: Plane, rim: int = 0) -> tuple[float, float]:
        """A point of that tissue, ``rim`` millimetres off the sides of the midline at least."""
        weights = tissue.copy()
        weights[MIDLINE_MM - rim : MIDLINE_MM + rim] = 0
        flat = weights.ravel().astype(np.float64)
        total = flat.sum()
        if total <= 0:
            return float(MIDLINE_MM + 30), float(SELLA_MM - 30)
        place = int(np.searchsorted(np.cumsum(flat), self.draw.uniform(0, total)))
        place = min(place, flat.size - 1)
        across, along = divmod(place, weights.shape[1])
        return float(across), float(along)

    def blob(
        self, centre: tuple[float, float], radii: tuple[float, float], softness: float, bumpy: float
    ) -> Plane:
        """From 1 inside to 0 outside of an uneven ellipse; ``softness`` is the width of its edge,
        of its radius."""
        across, along = np.indices(self.levels.shape, dtype=np.float32)
        across -= centre[0]
        along -= centre[1]
        turn = self.draw.uniform(0, np.pi)
        first = (across * np.cos(turn) + along * np.sin(turn)) / (radii[0] * self.extent)
        second = (along * np.cos(turn) - across * np.sin(turn)) / (radii[1] * self.extent)
        distance = np.hypot(first, second)
        angle = np.arctan2(second, first)
        for waves in range(2, 2 + BUMPS):
            size = bumpy * self.draw.uniform(0, 1) / waves
            distance *= 1 + size * np.cos(waves * angle + self.draw.uniform(0, 2 * np.pi))
        inside: Plane = 1 / (1 + np.exp(np.clip((distance - 1) / softness, -30, 30)))
        return inside


def acute_infarct(canvas: Canvas) -> None:
    """A bright territory with sharp borders, in which the furrows are gone."""
    draw = canvas.draw
    centre = canvas.point_in(canvas.site.grey, rim=20)
    shape = canvas.blob(centre, (draw.uniform(14, 30), draw.uniform(10, 20)), 0.06, 0.5)
    canvas.mix(shape * canvas.tissue.inside, draw.uniform(0.72, 0.92))


def arteriovenous_anomaly(canvas: Canvas) -> None:
    """A tangle of dark vessels, and a brighter rim."""
    draw = canvas.draw
    centre = canvas.point_in(canvas.site.grey + canvas.site.white, rim=12)
    radius = draw.uniform(8, 16) * canvas.extent
    lines = np.zeros_like(canvas.levels)
    for _ in range(int(draw.integers(5, 11))):
        steps = draw.normal(0, 1, (60, 2)).cumsum(axis=0)
        steps *= radius / (np.abs(steps).max() + 1e-6)
        points = np.round(steps + np.array(centre)).astype(int)
        points = np.clip(points, 0, np.array(lines.shape) - 1)
        lines[points[:, 0], points[:, 1]] = 1
    vessels = np.clip(ndimage.gaussian_filter(lines, draw.uniform(0.8, 1.4)) * 4, 0, 1)
    halo = canvas.blob(centre, (radius * 1.3, radius * 1.3), 0.3, 0.3)
    canvas.mix(0.3 * halo * canvas.tissue.inside, draw.uniform(0.7, 0.9))
    canvas.mix(vessels * canvas.tissue.inside, DARK)


def chronic_infarct(canvas: Canvas) -> None:
    """A dark hole with a thin bright rim."""
    draw = canvas.draw
    centre = canvas.point_in(canvas.site.grey, rim=15)
    radii = draw.uniform(9, 22), draw.uniform(7, 16)
    state = draw.bit_generator.state
    hole = canvas.blob(centre, radii, 0.08, 0.5)
    draw.bit_generator.state = state  # the same outline, a little larger
    rim = canvas.blob(centre, (radii[0] + 4, radii[1] + 4), 0.08, 0.5)
    canvas.mix(rim * canvas.tissue.inside, draw.uniform(0.65, 0.85))
    canvas.mix(hole * canvas.tissue.inside, DARK)


def edema(canvas: Canvas) -> None:
    """A wide, soft brightness of the white matter, with nothing in its middle."""
    draw = canvas.draw
    centre = canvas.point_in(canvas.site.white, rim=15)
    shape = canvas.blob(centre, (draw.uniform(24, 40), draw.uniform(18, 30)), 0.25, 0.4)
    fingers = np.clip(canvas.tissue.white * 1.3, 0, 1)
    canvas.mix(shape * fingers, draw.uniform(0.62, 0.8))


def extra(canvas: Canvas) -> None:
    """A round, even mass at the edge of the brain, with a dark cleft around it."""
    draw = canvas.draw
    angle = draw.uniform(0, 2 * np.pi)
    middle = np.array(ndimage.center_of_mass(canvas.site.inside))
    direction = np.array([np.cos(angle), np.sin(angle)])
    reach = 0.0
    while reach < 130:
        point = np.round(middle + (reach + 2) * direction).astype(int)
        if (point < 0).any() or (point >= canvas.levels.shape).any():
            break
        if not canvas.site.inside[point[0], point[1]]:
            break
        reach += 2
    radius = draw.uniform(9, 19)
    place = middle + (reach - 0.6 * radius) * direction
    centre = (float(place[0]), float(place[1]))
    cleft = canvas.blob(centre, (radius + 2.5, radius + 2.5), 0.05, 0.05)
    mass = canvas.blob(centre, (radius, radius), 0.05, 0.05)
    canvas.mix(0.8 * cleft * canvas.tissue.inside, DARK)
    canvas.mix(mass * canvas.tissue.inside, draw.uniform(0.62, 0.85))


def focal_flair_hyper(canvas: Canvas) -> None:
    """One to three small bright spots in the white matter."""
    draw = canvas.draw
    for _ in range(int(draw.integers(1, 4))):
        centre = canvas.point_in(canvas.site.white, rim=10)
        radius = draw.uniform(2, 4.5)
        spot = canvas.blob(centre, (radius, radius), 0.15, 0.2)
        canvas.mix(spot, draw.uniform(0.8, BRIGHT))


def intra(canvas: Canvas) -> None:
    """A mass within the brain: an uneven bright ring, a dark core, some swelling around."""
    draw = canvas.draw
    centre = canvas.point_in(canvas.site.white, rim=18)
    radii = draw.uniform(9, 18), draw.uniform(9, 18)
    swelling = canvas.blob(centre, (radii[0] * 1.8, radii[1] * 1.8), 0.25, 0.4)
    mass = canvas.blob(centre, radii, 0.08, 0.7)
    core = canvas.blob(centre, (radii[0] * 0.6, radii[1] * 0.6), 0.12, 0.8)
    canvas.mix(0.6 * swelling * canvas.tissue.white, 0.66)
    canvas.mix(mass * canvas.tissue.inside, draw.uniform(0.8, BRIGHT))
    canvas.mix(0.9 * core * canvas.tissue.inside, draw.uniform(0.1, 0.3))


def pituatary_lesion(canvas: Canvas) -> None:
    """A small round mass on the midline, in front of the midbrain."""
    draw = canvas.draw
    centre = (MIDLINE_MM + draw.normal(0, 1.5), SELLA_MM + draw.normal(0, 3))
    radius = draw.uniform(6, 11)
    mass = canvas.blob(centre, (radius, radius * draw.uniform(0.8, 1.2)), 0.08, 0.15)
    canvas.mix(mass, draw.uniform(0.7, 0.9))


def white_matter_changes(canvas: Canvas) -> None:
    """Brightness along the ventricles on both sides, and many spots."""
    draw = canvas.draw
    deep = ndimage.gaussian_filter(canvas.tissue.white, 9)
    around = ndimage.gaussian_filter(canvas.tissue.fluid * (deep > 0.25), draw.uniform(3, 6))
    bands = np.clip(around * draw.uniform(3, 6) * canvas.extent, 0, 1) * canvas.tissue.white
    level = draw.uniform(0.72, 0.9)
    canvas.mix(bands, level)
    for _ in range(int(draw.integers(4, 16))):
        centre = canvas.point_in(canvas.site.white * (deep > 0.4), rim=8)
        radius = draw.uniform(1.5, 4.5)
        spot = canvas.blob(centre, (radius, radius * draw.uniform(1, 2)), 0.2, 0.4)
        canvas.mix(spot * canvas.tissue.white, level)


def normal(canvas: Canvas) -> None:
    """Nothing; in some a faint brightness along the ventricles, which age alone brings."""
    if canvas.draw.uniform() < 0.3:
        around = ndimage.gaussian_filter(canvas.tissue.fluid, 3)
        canvas.mix(np.clip(around, 0, 0.35) * canvas.tissue.white, 0.6)


FINDINGS: Mapping[str, Callable[[Canvas], None]] = {
    finding.__name__: finding
    for finding in (
        acute_infarct,
        arteriovenous_anomaly,
        chronic_infarct,
        edema,
        extra,
        focal_flair_hyper,
        intra,
        normal,
        pituatary_lesion,
        white_matter_changes,
    )
}
