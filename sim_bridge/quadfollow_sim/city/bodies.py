"""People's bodies: lofted limbs over 13 bones, in a rest pose that faces x with the arms down, feet at z = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quadfollow_sim.city.mesh import Floats, Mesh, loft, merge, ring
from quadfollow_sim.city.outfits import ARM, HAIR, HAND, HEAD, LEG, SHOE, SKIRT, TORSO, Outfit

BONES = (
    "pelvis", "chest", "head", "upper_arm_l", "forearm_l", "upper_arm_r", "forearm_r",
    "thigh_l", "shin_l", "foot_l", "thigh_r", "shin_r", "foot_r",
)  # fmt: skip
JOINTS: Floats = np.array([
    [0, 0, 0.54], [0, 0, 0.61], [0, 0, 0.86],
    [0, 0.105, 0.81], [0, 0.115, 0.635], [0, -0.105, 0.81], [0, -0.115, 0.635],
    [0, 0.05, 0.53], [0, 0.052, 0.285], [0, 0.054, 0.045],
    [0, -0.05, 0.53], [0, -0.052, 0.285], [0, -0.054, 0.045],
])  # fmt: skip
"""Each bone's joint in the rest pose, in body heights."""

_TORSO = np.array([
    [0.47, 0.045, 0.062], [0.52, 0.066, 0.093], [0.56, 0.065, 0.092], [0.61, 0.055, 0.078], [0.67, 0.060, 0.085],
    [0.74, 0.068, 0.097], [0.79, 0.060, 0.104], [0.825, 0.042, 0.096], [0.845, 0.031, 0.046], [0.88, 0.027, 0.030],
])  # fmt: skip
"""Height, half depth and half width of each ring, in body heights; likewise below."""
_WOMAN = np.array([1.05, 1.08, 1.07, 0.88, 0.9, 0.95, 0.92, 0.9, 0.9, 0.9])
_HEAD = np.array([[0.862, 0.026, 0.024], [0.885, 0.045, 0.036], [0.92, 0.054, 0.044], [0.95, 0.057, 0.046],
                  [0.975, 0.050, 0.042], [0.993, 0.031, 0.028], [1.0, 0.006, 0.006]])  # fmt: skip
_ARM = np.array([[0.475, 0.020], [0.52, 0.024], [0.58, 0.029], [0.625, 0.028], [0.65, 0.029], [0.70, 0.033],
                 [0.77, 0.036], [0.815, 0.032], [0.835, 0.016]])  # fmt: skip
_LEG = np.array([[0.035, 0.027], [0.09, 0.029], [0.17, 0.040], [0.23, 0.040], [0.275, 0.036], [0.30, 0.038],
                 [0.37, 0.046], [0.44, 0.054], [0.50, 0.058], [0.54, 0.050]])  # fmt: skip
_SHOE = np.array([[0.0, 0.078, 0.029, 0.035], [0.022, 0.074, 0.029, 0.033], [0.04, 0.045, 0.028, 0.012],
                  [0.06, 0.027, 0.026, 0.0]])  # fmt: skip
"""As above, and how far the ring's middle lies ahead of the ankle."""


@dataclass(frozen=True, slots=True)
class Body:
    """A skinned body: its mesh in metres, and ``(V, 13)`` weights that sum to 1 for each vertex."""

    mesh: Mesh
    weights: Floats


def build_body(outfit: Outfit) -> Body:
    """Build a person's body of some 900 vertices."""
    parts = [_torso(outfit), _head(), _hair(outfit), *_limbs(outfit)]
    if outfit.skirt:
        parts.append(_skirt(outfit))
    mesh = merge([mesh for mesh, _ in parts])
    scale = np.array([outfit.girth, outfit.girth, 1.0]) * outfit.height
    return Body(mesh.placed((0, 0, 0), scale=scale), np.vstack([weights for _, weights in parts]))


Part = tuple[Mesh, Floats]


def _stack(profile: Floats, sides: int, cell: int, middle: Floats | None = None, power: float = 2.0) -> Mesh:
    """Loft rings given as rows of height, half depth and half width, about ``middle`` ``(R, 2)``."""
    middles = np.zeros((len(profile), 2)) if middle is None else middle
    rings = [
        ring((*center, z), (depth, width), sides, power)
        for (z, depth, width), center in zip(profile, middles, strict=True)
    ]
    z = profile[:, 0]
    mesh = loft(np.stack(rings), (z - z[0]) / (z[-1] - z[0]))
    row, column = divmod(cell, 4)
    inset = 0.03 + mesh.uv * 0.94
    return mesh.with_uv((inset + [column, 1 - row]) / [4, 2])


def _rigid(mesh: Mesh, bone: str) -> Part:
    weights = np.zeros((len(mesh.vertices), len(BONES)))
    weights[:, BONES.index(bone)] = 1
    return mesh, weights


def _blend(mesh: Mesh, chain: list[tuple[str, float, float]]) -> Part:
    """Weigh vertices by height: each bone of the chain takes over from the one before between two heights."""
    weights = np.zeros((len(mesh.vertices), len(BONES)))
    for bone, low, high in chain:
        share = np.clip((mesh.vertices[:, 2] - low) / (high - low), 0, 1)
        weights *= (1 - share)[:, None]
        weights[:, BONES.index(bone)] += share
    return mesh, weights


def _torso(outfit: Outfit) -> Part:
    profile = _TORSO.copy()
    middle = np.zeros((len(profile), 2))
    if outfit.woman:
        profile[:, 1:] *= _WOMAN[:, None]
        middle[5, 0] = 0.012
    mesh = _stack(profile, 14, TORSO, middle, 2.4)
    return _blend(mesh, [("pelvis", -1, 0), ("chest", 0.56, 0.66), ("head", 0.86, 0.9)])


def _head() -> Part:
    middle = np.tile([0.008, 0.0], (len(_HEAD), 1))
    return _rigid(_stack(_HEAD, 12, HEAD, middle), "head")


def _hair(outfit: Outfit) -> Part:
    """A cap that leaves the face free; long hair falls to the shoulders, a tail down the neck."""
    cap = np.array(
        [[0.91, 0.042, 0.047], [0.945, 0.052, 0.052], [0.975, 0.056, 0.051], [1.0, 0.042, 0.038], [1.013, 0.010, 0.010]]
    )
    middle = np.column_stack([[-0.018, -0.012, -0.004, 0.0, 0.0], np.zeros(5)])
    if outfit.hair == "long":
        cap = cap * [1.0, 1.06, 1.18]
    if outfit.hair == "bald":
        return _rigid(_stack(_HEAD * [1, 0.98, 0.98], 8, HEAD), "head")
    fall = {"long": [[0.755, 0.026, 0.058], [0.82, 0.042, 0.076], [0.87, 0.048, 0.070]],
            "tail": [[0.78, 0.010, 0.012], [0.84, 0.018, 0.020], [0.88, 0.028, 0.032]],
            "short": [[0.885, 0.032, 0.038]]}[outfit.hair]  # fmt: skip
    back = {"long": [-0.042, -0.036, -0.028], "tail": [-0.07, -0.066, -0.045], "short": [-0.024]}[outfit.hair]
    middle = np.vstack([np.column_stack([back, np.zeros(len(back))]), middle])
    mesh = _stack(np.vstack([fall, cap]), 12, HAIR, middle)
    return _blend(mesh, [("chest", -1, 0), ("head", 0.8, 0.9)])


def _limbs(outfit: Outfit) -> list[Part]:
    parts = []
    for side, sign in (("l", 1.0), ("r", -1.0)):
        parts += [_arm(side, sign, outfit), _hand(side, sign), _leg(side, sign, outfit), _shoe(side, sign)]
    return parts


def _arm(side: str, sign: float, outfit: Outfit) -> Part:
    width = 0.88 if outfit.woman else 1.05
    profile = np.column_stack([_ARM[:, 0], _ARM[:, 1] * width, _ARM[:, 1] * width])
    out = 0.105 + (0.82 - profile[:, 0]) * 0.06
    mesh = _stack(profile, 8, ARM, np.column_stack([np.zeros(len(out)), sign * out]))
    return _blend(mesh, [(f"forearm_{side}", -1, 0), (f"upper_arm_{side}", 0.615, 0.655)])


def _hand(side: str, sign: float) -> Part:
    profile = np.array([[0.40, 0.010, 0.007], [0.43, 0.024, 0.013], [0.46, 0.024, 0.014], [0.48, 0.016, 0.014]])
    middle = np.tile([0.004, sign * 0.126], (4, 1))
    return _rigid(_stack(profile, 6, HAND, middle), f"forearm_{side}")


def _leg(side: str, sign: float, outfit: Outfit) -> Part:
    width = 0.95 if outfit.woman else 1.08
    profile = np.column_stack([_LEG[:, 0], _LEG[:, 1] * width, _LEG[:, 1] * width * 0.92])
    middle = np.tile([0.0, sign * 0.05], (len(profile), 1))
    mesh = _stack(profile, 10, LEG, middle)
    return _blend(mesh, [(f"shin_{side}", -1, 0), (f"thigh_{side}", 0.265, 0.31), ("pelvis", 0.5, 0.58)])


def _shoe(side: str, sign: float) -> Part:
    middle = np.column_stack([_SHOE[:, 3], np.full(len(_SHOE), sign * 0.053)])
    return _rigid(_stack(_SHOE[:, :3], 10, SHOE, middle), f"foot_{side}")


def _skirt(outfit: Outfit) -> Part:
    """A tunic's or skirt's lower end, which the thighs push forward and back."""
    hem = 0.50 - outfit.skirt
    profile = np.array([[hem, 0.078, 0.110], [0.51, 0.074, 0.104], [0.56, 0.069, 0.098], [0.60, 0.058, 0.080]])
    if outfit.woman:
        profile[:, 1:] *= 1.09
    mesh, weights = _blend(_stack(profile, 14, SKIRT), [("pelvis", -1, 0)])
    low = np.clip((0.53 - mesh.vertices[:, 2]) / 0.1, 0, 1) * 0.7
    left = np.clip(0.5 + mesh.vertices[:, 1] / 0.08, 0, 1)
    weights *= (1 - low)[:, None]
    weights[:, BONES.index("thigh_l")] += low * left
    weights[:, BONES.index("thigh_r")] += low * (1 - left)
    return mesh, weights
