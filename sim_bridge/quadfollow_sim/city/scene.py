"""The rendering model: a setting's ground, houses, plants and people as a compiled MuJoCo model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from quadfollow_sim.city import facades, markings, plants, textures
from quadfollow_sim.city.bodies import BONES, JOINTS, build_body
from quadfollow_sim.city.gl import load_mujoco
from quadfollow_sim.city.ground import build_ground
from quadfollow_sim.city.looks import Setting
from quadfollow_sim.city.mesh import Mesh
from quadfollow_sim.city.outfits import Outfit, atlas
from quadfollow_sim.city.textures import Picture

NEAR, FAR = 0.1, 100.0
"""Clipping planes of the camera, metres."""
CAMERA = "camera"


@dataclass(slots=True)
class _Builder:
    """Collects meshes, textures and materials under unique names."""

    spec: Any
    mujoco: Any

    def texture(self, name: str, picture: Picture) -> None:
        """Add a texture and a material of the same name that shows it without gloss."""
        mujoco, height, width = self.mujoco, *picture.shape[:2]
        texture = self.spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3
        )
        texture.data = np.ascontiguousarray(picture[::-1]).tobytes()
        material = self.spec.add_material(name=name, specular=0, shininess=0, reflectance=0)
        roles = [""] * int(mujoco.mjtTextureRole.mjNTEXROLE)
        roles[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name
        material.textures = roles

    def mesh(self, name: str, mesh: Mesh) -> None:
        """Add a mesh."""
        asset = self.spec.add_mesh(name=name, inertia=self.mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        asset.uservert, asset.usernormal = mesh.vertices.ravel(), mesh.normals.ravel()
        asset.usertexcoord, asset.userface = mesh.uv.ravel(), mesh.faces.ravel()

    def geom(self, mesh: str, material: str, **where: Any) -> None:
        """Show a mesh in the world, without any part in physics."""
        self.spec.worldbody.add_geom(
            type=self.mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh, material=material, contype=0, conaffinity=0, **where
        )

    def show(self, name: str, mesh: Mesh, material: str) -> None:
        """Add a mesh and show it where it is."""
        self.mesh(name, mesh)
        self.geom(name, material)


def build_scene(setting: Setting) -> Any:
    """Compile the rendering model: one camera, and 13 bones and one skin per person, in the order of the outfits."""
    mujoco = load_mujoco()
    spec = mujoco.MjSpec()
    builder = _Builder(spec, mujoco)
    rng = setting.generator(1)
    _set_view(spec)
    _add_light(spec, mujoco, setting)
    _add_sky(spec, mujoco, setting)
    _add_ground(builder, setting, rng)
    _add_buildings(builder, setting, rng)
    _add_trees(builder, setting, rng)
    _add_beds(builder, setting, rng)
    for index, outfit in enumerate(setting.outfits):
        _add_person(builder, index, outfit, rng)
    return spec.compile()


def _set_view(spec: Any) -> None:
    """Set what costs most and adds nothing: no shadow map, no multisampling, no headlight."""
    spec.stat.extent, spec.stat.center = FAR, np.zeros(3)
    visual = spec.visual
    visual.map.znear, visual.map.zfar = NEAR / FAR, 1.0
    visual.quality.shadowsize, visual.quality.offsamples = 0, 0
    visual.headlight.active = 0
    visual.global_.offwidth = visual.global_.offheight = 1024
    spec.worldbody.add_camera(name=CAMERA, fovy=60)


def _add_light(spec: Any, mujoco: Any, setting: Setting) -> None:
    light = setting.light
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL, pos=[0, 0, 50], dir=light.direction, castshadow=False,
        diffuse=np.clip(light.sun, 0, 1), ambient=np.clip(light.sky, 0, 1), specular=np.zeros(3),
    )  # fmt: skip


def _add_sky(spec: Any, mujoco: Any, setting: Setting) -> None:
    light = setting.light
    brightness = np.clip(1.1 * (light.sky - light.sun * light.direction[2]), 0.25, 1.15)  # as the ground is lit
    faces = textures.sky(setting.generator(2), brightness)
    sky = spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, width=faces.shape[1], height=faces.shape[0], nchannel=3
    )
    sky.data = np.ascontiguousarray(faces).tobytes()


def _add_ground(builder: _Builder, setting: Setting, rng: Generator) -> None:
    dark = int(rng.uniform(36, 108))
    surfaces = {
        "asphalt": textures.asphalt(rng), "kerb": textures.kerbstone(rng, (168, 166, 160)),
        "pavement": textures.pavement(rng), "slabs": textures.slabs(rng),
        "border": textures.kerbstone(rng, (dark, dark, dark)),
        "grass": textures.grass(rng), "paint": textures.paint_marks(rng),
    }  # fmt: skip
    for name, picture in surfaces.items():
        builder.texture(name, picture)
    for (surface, column, row), mesh in build_ground(setting.plan).items():
        builder.show(f"{surface}{column}_{row}", mesh, surface)
    builder.show("markings", markings.paint_roads(setting.plan, rng), "paint")
    if setting.plan.signs:
        builder.texture("sign", textures.stop_sign(rng))
        builder.show("signs", markings.build_signs(setting.plan), "sign")
    builder.show("posts", markings.build_posts(setting.plan), "border")


def _add_buildings(builder: _Builder, setting: Setting, rng: Generator) -> None:
    for style in sorted({building.style for building in setting.plan.buildings}):
        builder.texture(f"facade{style}", facades.facade(rng, style))
    for index, building in enumerate(setting.plan.buildings):
        builder.show(f"house{index}", facades.house(building, rng), f"facade{building.style}")


def _add_trees(builder: _Builder, setting: Setting, rng: Generator) -> None:
    builder.texture("bark", textures.bark(rng))
    for shape in range(plants.SHAPES):
        drawn = plants.draw_tree(rng, shape)
        for height in sorted({round(tree.height) for tree in setting.plan.trees if tree.shape == shape}):
            builder.mesh(f"trunk{shape}_{height}", drawn.trunk.placed((0, 0, 0), scale=float(height)))
            builder.mesh(f"crown{shape}_{height}", drawn.crown.placed((0, 0, 0), scale=float(height)))
    for colour in sorted({tree.colour for tree in setting.plan.trees}):
        builder.texture(f"leaves{colour}", textures.leaves(rng, colour))
    for tree in setting.plan.trees:
        half = tree.yaw / 2
        where = {"pos": [*tree.position, 0.0], "quat": [np.cos(half), 0, 0, np.sin(half)]}
        shape_of = f"{tree.shape}_{round(tree.height)}"
        builder.geom(f"trunk{shape_of}", "bark", **where)
        builder.geom(f"crown{shape_of}", f"leaves{tree.colour}", **where)


def _add_beds(builder: _Builder, setting: Setting, rng: Generator) -> None:
    builder.texture("stripes", textures.stripes(rng))
    builder.texture("flowers", textures.flowers(rng))
    for index, bed in enumerate(setting.plan.beds):
        (x, y), radius = bed.disc.center, bed.disc.radius
        kerb, bush = plants.kerb_ring(radius), plants.draw_bush(rng)
        builder.show(f"ring{index}", kerb.placed((x, y, 0)), "stripes" if bed.painted else "kerb")
        builder.show(f"soil{index}", plants.soil(radius - 0.2).placed((x, y, 0)), "grass")
        size = (radius * 0.85, radius * 0.85, bed.bush)
        builder.show(f"bush{index}", bush.placed((x, y, 0.2), scale=size), "flowers")


def _add_person(builder: _Builder, index: int, outfit: Outfit, rng: Generator) -> None:
    body = build_body(outfit)
    builder.texture(f"person{index}", atlas(outfit, rng))
    names = [f"person{index}_{bone}" for bone in BONES]
    joints = JOINTS * [outfit.girth, outfit.girth, 1.0] * outfit.height
    for name, joint in zip(names, joints, strict=True):
        builder.spec.worldbody.add_body(name=name, pos=joint, mocap=True)
    skin = builder.spec.add_skin(name=f"person{index}", material=f"person{index}")
    skin.vert, skin.face, skin.texcoord = body.mesh.vertices.ravel(), body.mesh.faces.ravel(), body.mesh.uv.ravel()
    chosen = [np.flatnonzero(column > 1e-4) for column in body.weights.T]
    skin.bodyname = names
    skin.bindpos, skin.bindquat = joints.ravel(), np.tile([1.0, 0, 0, 0], len(BONES))
    skin.vertid = [ids.tolist() for ids in chosen]
    skin.vertweight = [column[ids].tolist() for ids, column in zip(chosen, body.weights.T, strict=True)]
