"""What surrounds hips and femurs: skin, pelvic cavity, bladder, sacrum and lowest vertebrae.

Coordinates are (right, anterior, superior) in mm from the point midway between the centres of the
femoral heads. Nothing here is labelled: the spine is the bone that a network must leave out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from volunet.datasets.phantom.shapes import (
    Distances,
    Points,
    ball,
    ellipsoid,
    only_in_box,
    rod,
    smooth_cut,
    smooth_union,
)


@dataclass(frozen=True)
class Trunk:
    """Dimensions of the body round the pelvis.

    Args:
        half_width_mm: Half of the body's width at the hips.
        half_depth_mm: Half of the body's depth.
        fat_mm: Thickness of the fat under the skin.
        bladder_mm: Radius of the bladder.

    Source:
        Ordinary adult ranges: width 330 to 370 mm, depth 210 to 240 mm, fat 10 to 25 mm.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    bladder_mm: float

    def skin(self, points: Points) -> Distances:
        """Distance to the skin of the trunk, without the thighs."""
        centre = (0.0, -10.0, 0.0)
        tube = ellipsoid(points, centre, (self.half_width_mm, self.half_depth_mm, math.inf))
        waist = 1.0 + 0.08 * np.clip((points[2] - 20.0) / 100.0, 0.0, 1.0)
        tube = tube + (waist - 1.0) * self.half_width_mm
        shape = smooth_cut(tube, -points[2] - 90.0, 50.0)
        for side in (-1.0, 1.0):
            shape = smooth_union(shape, ball(points, (72.0 * side, -68.0, -28.0), 72.0), 30.0)
        return shape

    def cavity(self, points: Points) -> Distances:
        """Distance to the wall of the pelvic and abdominal cavity, which fat fills."""
        pelvis = rod(points, (0.0, -12.0, -5.0), (0.0, 10.0, 80.0), (38.0, 52.0))
        belly = ellipsoid(points, (0.0, 32.0, 150.0), (112.0, 52.0, 90.0))
        return smooth_union(pelvis, belly, 25.0)

    def bladder(self, points: Points) -> Distances:
        """Distance to the wall of the bladder, behind the symphysis."""
        r = self.bladder_mm
        return ellipsoid(points, (0.0, 12.0, 8.0), (1.2 * r, 0.85 * r, 0.85 * r))

    def spine(self, points: Points) -> Distances:
        """Distance to sacrum, coccyx and the two lowest vertebrae."""
        low, high = (-75.0, -125.0, -60.0), (75.0, 10.0, 400.0)
        return only_in_box(self._spine, points, low, high)

    def _spine(self, points: Points) -> Distances:
        x, y, z = points
        folded = np.stack([np.abs(x), y, z])
        sacrum = rod(points, (0.0, -62.0, 82.0), (0.0, -100.0, 12.0), (21.0, 11.0))
        ala = rod(folded, (20.0, -66.0, 80.0), (46.0, -74.0, 72.0), (19.0, 19.0))
        lower = rod(folded, (16.0, -86.0, 50.0), (26.0, -92.0, 40.0), (15.0, 13.0))
        coccyx = rod(points, (0.0, -100.0, 12.0), (0.0, -84.0, -22.0), (9.0, 4.0))
        shape = smooth_union(sacrum, smooth_union(ala, lower, 8.0), 8.0)
        shape = smooth_union(shape, coccyx, 6.0)
        canal = rod(points, (0.0, -86.0, 110.0), (0.0, -106.0, 40.0), (8.0, 5.0))
        shape = np.maximum(shape, -canal)
        for y, z in ((-46.0, 124.0), (-40.0, 162.0), (-38.0, 200.0)):
            shape = np.minimum(shape, _vertebra(points, folded, y, z))
        return shape


def _vertebra(points: Points, folded: Points, y: float, z: float) -> Distances:
    body = ellipsoid(points, (0.0, y, z), (26.0, 19.0, math.inf))
    body = smooth_cut(body, np.abs(points[2] - z) - 14.0, 5.0)
    pedicle = rod(folded, (13.0, y - 16.0, z + 4.0), (17.0, y - 36.0, z), (6.0, 8.0))
    process = rod(folded, (17.0, y - 30.0, z + 2.0), (38.0, y - 34.0, z + 2.0), (5.0, 3.0))
    lamina = rod(folded, (15.0, y - 38.0, z - 2.0), (0.0, y - 48.0, z - 4.0), (5.0, 5.0))
    spinous = rod(points, (0.0, y - 46.0, z - 4.0), (0.0, y - 66.0, z - 10.0), (5.0, 4.0))
    arch = smooth_union(np.minimum(pedicle, process), np.minimum(lamina, spinous), 4.0)
    return smooth_union(body, arch, 4.0)
