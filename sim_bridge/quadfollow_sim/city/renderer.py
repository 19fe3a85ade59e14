"""Pictures of a city: colours, classes and depth for a camera anywhere, from two passes of OpenGL."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quadfollow_core.errors import BadGeometry
from quadfollow_core.geometry import BODY_FROM_OPTICAL, Camera, Pose
from quadfollow_core.resize import BACKGROUND, PERSON, TARGET
from quadfollow_sim.city.gl import load_mujoco, make_context
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Floats
from quadfollow_sim.city.scene import CAMERA, FAR, NEAR, build_scene

_MUJOCO_FROM_OPTICAL = np.diag([1.0, -1.0, -1.0])
"""MuJoCo's cameras look along -z with y up; ours along z with y down."""
_SHOWN, _HIDDEN = 0, 5
_REACH_OF_A_BODY = 1.2
"""Radius of a ball about a person's middle that holds all of the body, metres."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera sees, registered pixel by pixel."""

    rgb: NDArray[np.uint8]
    """``(H, W, 3)``"""
    classes: NDArray[np.uint8]
    """``(H, W)``: 0 background, 1 person, 2 target."""
    depth: NDArray[np.float32]
    """``(H, W)`` metres along the optical axis; 100 where there is nothing nearer."""


class Renderer:
    """Draws one setting in the thread that made it; at start everybody stands as at time zero."""

    def __init__(self, setting: Setting, size: int = 256) -> None:
        self._mujoco = load_mujoco()
        self._crowd = setting.crowd
        self._size = size
        self._model = build_scene(setting)
        self._data = self._mujoco.MjData(self._model)
        self._context, self._gl = make_context(size, self._model)
        self._open_scene()
        self._class_of_id = _Classes(self._mujoco)
        self._bounds = _bounds(self._mujoco, self._model, self._data)
        self.pose_people(0.0)

    def _open_scene(self) -> None:
        mujoco = self._mujoco
        self._scene = mujoco.MjvScene(self._model, maxgeom=self._model.ngeom + self._model.nskin + 16)
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = self._model.camera(CAMERA).id
        self._viewport = mujoco.MjrRect(0, 0, self._size, self._size)

    def pose_people(self, time: float) -> None:
        """Put everybody where they are at ``time`` seconds."""
        positions, rotations = self._crowd.bodies(time)
        self._data.mocap_pos[:] = positions.reshape(-1, 3)
        self._data.mocap_quat[:] = rotations.reshape(-1, 4)
        self._middles = self._crowd.middles(time)
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_camlight(self._model, self._data)

    def render(self, camera: Camera) -> Picture:
        """Draw what ``camera`` sees as a square picture of the renderer's size.

        Raises:
            BadGeometry: no pose, or a lens other than a centred pinhole with square pixels.
        """
        pose = self._aim(camera)
        self._context.make_current()  # another renderer of this thread may have been at work
        self._hide_what_is_out_of_view(pose)
        self._mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera,
            self._mujoco.mjtCatBit.mjCAT_ALL, self._scene,
        )  # fmt: skip
        rgb = self._draw_colours()
        classes, depth = self._draw_classes()
        return Picture(rgb, classes, depth)

    def close(self) -> None:
        """Give back the OpenGL context; must happen before the process ends."""
        self._context.make_current()
        self._gl.free()
        self._context.free()

    def __enter__(self) -> Renderer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _aim(self, camera: Camera) -> Pose:
        pose, lens, half = camera.pose, camera.intrinsics, self._size / 2
        if pose is None or lens.distortion or (lens.cx, lens.cy) != (half, half) or lens.fx != lens.fy:
            raise BadGeometry(
                f"the city draws with a posed, centred pinhole of {self._size}x{self._size}, got {camera}"
            )
        index = self._camera.fixedcamid
        self._model.cam_fovy[index] = np.degrees(2 * np.arctan(half / lens.fy))
        self._data.cam_xpos[index] = pose.position
        self._data.cam_xmat[index] = (pose.rotation @ _MUJOCO_FROM_OPTICAL).ravel()
        self._half_angle = float(np.arctan(half * 2**0.5 / lens.fy))
        return pose

    def _hide_what_is_out_of_view(self, pose: Pose) -> None:
        """Sort bounding balls into shown and hidden groups: MuJoCo itself draws all there is."""
        self._model.geom_group[:] = self._groups(pose, *self._bounds)
        self._model.skin_group[:] = self._groups(pose, self._middles, np.array(_REACH_OF_A_BODY))

    def _groups(self, pose: Pose, centers: Floats, radii: Floats) -> NDArray[np.int64]:
        offset = centers - pose.position
        ahead = offset @ (pose.rotation @ BODY_FROM_OPTICAL.T)[:, 0]
        aside = np.sqrt(np.maximum((offset**2).sum(axis=1) - ahead**2, 0))
        cos, sin = np.cos(self._half_angle), np.sin(self._half_angle)
        seen = (aside * cos - ahead * sin < radii) & (ahead > -radii) & (ahead < FAR + radii)
        return np.where(seen, _SHOWN, _HIDDEN)

    def _draw_colours(self) -> NDArray[np.uint8]:
        rgb = np.empty((self._size, self._size, 3), dtype=np.uint8)
        self._draw(rgb, None, labels=False)
        return rgb[::-1]

    def _draw_classes(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        colours = np.empty((self._size, self._size, 3), dtype=np.uint8)
        depth = np.empty((self._size, self._size), dtype=np.float32)
        self._draw(colours, depth, labels=True)
        metres = NEAR * FAR / (NEAR + depth[::-1] * (FAR - NEAR))
        return self._class_of_id(colours[::-1], self._scene), metres.astype(np.float32)

    def _draw(self, colours: NDArray[np.uint8], depth: NDArray[np.float32] | None, *, labels: bool) -> None:
        flags, names = self._scene.flags, self._mujoco.mjtRndFlag
        flags[names.mjRND_SEGMENT] = flags[names.mjRND_IDCOLOR] = labels
        flags[names.mjRND_SKYBOX] = not labels
        self._mujoco.mjr_render(self._viewport, self._scene, self._gl)
        self._mujoco.mjr_readPixels(colours, depth, self._viewport, self._gl)


class _Classes:
    """Turns the colours of a picture of ids into classes."""

    def __init__(self, mujoco: Any) -> None:
        self._skin = int(mujoco.mjtObj.mjOBJ_SKIN)

    def __call__(self, colours: NDArray[np.uint8], scene: Any) -> NDArray[np.uint8]:
        """Map ``(H, W, 3)`` id colours (segment id + 1, low byte first) to ``(H, W)`` classes."""
        ids = colours[:, :, 0].astype(np.int32) | colours[:, :, 1].astype(np.int32) << 8
        return np.asarray(self._table(scene)[ids])

    def _table(self, scene: Any) -> NDArray[np.uint8]:
        table = np.full(1 << 16, BACKGROUND, dtype=np.uint8)
        for geom in scene.geoms[: scene.ngeom]:  # skins come first
            if geom.objtype != self._skin:
                break
            table[geom.segid + 1] = TARGET if geom.objid == 0 else PERSON
        return table


def _bounds(mujoco: Any, model: Any, data: Any) -> tuple[Floats, Floats]:
    """Return the centres and radii of every geom's bounding ball; nothing but people moves."""
    mujoco.mj_kinematics(model, data)
    return data.geom_xpos.copy(), model.geom_rbound.copy()
