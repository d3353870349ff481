# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies that leave Blender: they come back where they were, other programs see the same, and the scene stays as it is."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state
from synthetic_body import pose_body

from refit_blender import api, engine
from refit_blender.engine_job import Options
from refit_blender.errors import RefitError, SourceError
from refit_blender.scene import body as bodies
from refit_blender.scene.ik import add_ik
from refit_blender.scene.keying import curves_of
from refit_blender.scene.rigs import bone_names, joint_places

NEAR = 1e-3
"""Metres."""
OTHER_PROGRAMS = Path(__file__).with_name("other_programs.py")
ENGINE_PYTHON = os.environ.get(engine.PYTHON_VARIABLE)
Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
FRAMES = range(3, 15)


@pytest.fixture
def make_moving(install_fake, pictures):
    """Call it for a body that moves at frames 3 to 14."""

    def make(**options) -> bpy.types.Object:
        install_fake().prepare_motion(pictures, instants=12, first=2)
        bpy.context.scene.render.fps = 30
        return api.reconstruct_motion(pictures, Options(**options)).outcome.bodies[0].rig

    return make


@pytest.fixture
def moving(make_moving):
    """A body with the rig for animators that moves at frames 3 to 14."""
    return make_moving()


@pytest.fixture
def still(install_fake, photo):
    """A body in one pose, with pose correctives."""
    install_fake(correctives=True)
    return api.reconstruct(photo).outcome.bodies[0].rig


def joints_over(rig: bpy.types.Object, frames: Sequence[int], names: Sequence[str] | None = None) -> np.ndarray:
    """Joints [K,24,3] in the world; names: of the bones of a rig that came back."""
    found = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        bones = [rig.pose.bones[name] for name in names or bone_names(rig)]
        found.append([rig.matrix_world @ bone.head for bone in bones])
    return np.array(found)


def came_as(rig: bpy.types.Object, names: Sequence[str]) -> list[str]:
    """What bones are called in a rig that came back; USD knows no dots in names."""
    return [name if name in rig.data.bones else name.replace(".", "_") for name in names]


def imported(path: Path) -> bpy.types.Object:
    """The armature of a file, alone in a new scene of 30 frames a second."""
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.context.scene.render.fps = 30
    operators = {
        ".fbx": bpy.ops.import_scene.fbx,
        ".glb": bpy.ops.import_scene.gltf,
        ".bvh": bpy.ops.import_anim.bvh,
        ".usdc": bpy.ops.wm.usd_import,
    }
    operators[path.suffix](filepath=str(path))
    return next(item for item in bpy.context.scene.objects if item.type == "ARMATURE")


def first_frame(rig: bpy.types.Object) -> int:
    """Of a rig's motion; the present one where it has none: a single pose of USD."""
    return round(rig.animation_data.action.frame_range[0]) if rig.animation_data else bpy.context.scene.frame_current


def seen_elsewhere(what: str, *arguments: object) -> dict[str, np.ndarray]:
    """What another program finds in a file; see `other_programs`."""
    if not ENGINE_PYTHON:
        pytest.skip(f"{engine.PYTHON_VARIABLE} is not set: it has the other programs")
    out = Path(bpy.app.tempdir, "seen.npz")
    subprocess.run([ENGINE_PYTHON, OTHER_PROGRAMS, what, out, *map(str, arguments)], check=True)
    with np.load(out) as arrays:
        return dict(arrays)


def in_order(seen: dict[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """The joints [K,24,3] in the order of these names."""
    there = seen["names"].tolist()
    return seen["joints"][:, [there.index(name) for name in names]]


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({}, "plain"),
        ({}, "unreal"),
        ({}, "unity"),
        ({}, "godot"),
        ({"root_motion": False}, "unity"),
        ({"rig": "smpl"}, "plain"),
        ({"rig": "smpl"}, "unreal"),
    ],
)
@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".bvh", ".usdc"])
def test_joints_come_back_at_every_frame(make_moving, tmp_path, suffix, options, target):
    moving = make_moving(**options)
    expected, path, bones = joints_over(moving, FRAMES), tmp_path / f"body{suffix}", bone_names(moving)
    assert api.export_bodies(path, [moving], target=target) == (3, 14)
    rig = imported(path)
    names = came_as(rig, bones)
    start = first_frame(rig)
    if suffix in {".glb", ".usdc"}:
        assert start == (3 if target == "plain" else 0)
    assert np.abs(joints_over(rig, range(start, start + 12), names) - expected).max() < NEAR
    assert round(rig.animation_data.action.frame_range[1]) == start + 11
    assert {bone.name for bone in rig.data.bones} - set(names) == ({"root"} if suffix != ".bvh" else set())


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".usdc"])
def test_a_pose_that_is_not_keyed_comes_back(still, tmp_path, suffix):
    bpy.context.scene.frame_set(20)
    still.animation_data_clear()
    still.pose.bones["forearm.L"].rotation_quaternion = (0.8, 0.6, 0, 0)
    bpy.context.view_layer.update()
    expected, bones, path = joint_places(still), bone_names(still), tmp_path / f"body{suffix}"
    assert api.export_bodies(path, [still]) == (20, 20)
    rig = imported(path)
    (found,) = joints_over(rig, [first_frame(rig)], came_as(rig, bones))
    assert np.abs(found - expected).max() < NEAR


@pytest.mark.parametrize("target", ["plain", "unreal", "unity"])
def test_another_reader_of_fbx_sees_the_joints_and_no_transform_to_correct(moving, tmp_path, target):
    expected, path, bones = joints_over(moving, FRAMES), tmp_path / "body.fbx", bone_names(moving)
    api.export_bodies(path, [moving], target=target)
    start = 3 if target == "plain" else 0
    seen = seen_elsewhere("fbx", path, start, start + 11, 30)
    assert seen["axes"].tolist() == (
        ["POSITIVE_X", "POSITIVE_Z", "NEGATIVE_Y"] if target == "unreal" else ["POSITIVE_X", "POSITIVE_Y", "POSITIVE_Z"]
    )
    if target == "unreal":  # it takes numbers for centimetres
        assert np.abs(in_order(seen, bones) / 100 - expected).max() < NEAR
        assert seen["unit_metres"] == pytest.approx(0.01)
        assert "Armature" in seen["nodes"]
    else:
        assert np.abs(in_order(seen, bones) * seen["unit_metres"] - expected @ Y_UP.T).max() < NEAR
        assert seen["unit_metres"] == pytest.approx(1.0)
        assert moving.name in seen["nodes"]
    assert np.abs(np.abs(seen["turns"][:, 3]) - 1).max() < 1e-6
    assert np.abs(seen["scales"] - 1).max() < 1e-6
    assert seen["motions"].tolist() == [moving.name]
    assert sorted(seen["names"]) == sorted(["root", *bones])


@pytest.mark.parametrize("target", ["plain", "godot"])
def test_another_reader_of_glb_sees_the_joints(moving, tmp_path, target):
    expected, path, bones = joints_over(moving, FRAMES), tmp_path / "body.glb", bone_names(moving)
    api.export_bodies(path, [moving], target=target)
    start = 3 if target == "plain" else 0
    seen = seen_elsewhere("glb", path, start, start + 11, 30)
    assert np.abs(in_order(seen, bones) - expected @ Y_UP.T).max() < NEAR
    assert seen["motions"].tolist() == [moving.name]


def test_a_plain_parser_of_bvh_sees_the_joints(moving, tmp_path):
    expected, path = joints_over(moving, FRAMES), tmp_path / "body.bvh"
    api.export_bodies(path, [moving])
    joints, seconds = parse_bvh(path.read_text())
    assert seconds == pytest.approx(1 / 30, abs=1e-5)
    found = np.stack([joints[name] for name in bone_names(moving)], axis=1)
    assert np.abs(found - expected @ Y_UP.T).max() < NEAR


def parse_bvh(text: str) -> tuple[dict[str, np.ndarray], float]:
    """World places [K,3] of the joints by name, and the seconds of a frame."""
    hierarchy, motion = text.split("MOTION")
    joints, stack, ends = [], [], 0
    for line in (line.split() for line in hierarchy.splitlines()):
        if line[:1] in (["ROOT"], ["JOINT"]):
            joints.append({"name": line[1], "parent": stack[-1] if stack else None, "channels": []})
            stack.append(len(joints) - 1)
        elif line[:1] == ["End"]:
            ends, _ = ends + 1, stack.append(None)
        elif line[:1] == ["OFFSET"] and stack[-1] is not None:
            joints[stack[-1]]["offset"] = np.array(line[1:], dtype=float)
        elif line[:1] == ["CHANNELS"]:
            joints[stack[-1]]["channels"] = line[2:]
        elif line == ["}"]:
            stack.pop()
    rows = motion.strip().splitlines()
    values, at = np.array([row.split() for row in rows[2:]], dtype=float), 0
    frames, placed = len(values), {}
    for index, joint in enumerate(joints):
        place, turn = np.tile(joint["offset"], (frames, 1)), np.tile(np.eye(3), (frames, 1, 1))
        for channel in joint["channels"]:
            axis, column = "XYZ".index(channel[0]), values[:, at]
            at += 1
            if channel.endswith("position"):
                place[:, axis] = column
            else:
                turn = turn @ about(axis, np.deg2rad(column))
        if joint["parent"] is not None:
            above, its_turn = placed[joint["parent"]]
            place, turn = above + np.einsum("kab,kb->ka", its_turn, place), its_turn @ turn
        placed[index] = place, turn
    return {joint["name"]: placed[index][0] for index, joint in enumerate(joints)}, float(rows[1].split()[-1])


def about(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotations [K,3,3] about a coordinate axis."""
    made = np.tile(np.eye(3), (len(angles), 1, 1))
    one, other = (axis + 1) % 3, (axis + 2) % 3
    made[:, one, one] = made[:, other, other] = np.cos(angles)
    made[:, other, one], made[:, one, other] = np.sin(angles), -np.sin(angles)
    return made


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".usdc"])
@pytest.mark.parametrize("shape", ["baked", "keys"])
def test_the_skin_comes_along_with_its_shape(install_fake, photo, tmp_path, suffix, shape):
    fake = install_fake(correctives=True)
    rig = api.reconstruct(photo).outcome.bodies[0].rig
    plain = {name: value for name, value in fake.body.items() if name != "posedirs"}
    cam = pose_body(plain, *(fake.result[name][0] for name in ("betas", "rotmats", "transl")))
    bpy.context.view_layer.update()
    camera = np.array(bpy.context.scene.camera.matrix_world)
    expected = cam * [1, -1, -1] @ camera[:3, :3].T + camera[:3, 3]
    path = tmp_path / f"body{suffix}"
    api.export_bodies(path, [rig], shape=shape)
    came = imported(path)
    (mesh,) = [item for item in bpy.context.scene.objects if item.type == "MESH" and item.find_armature() == came]
    keys = mesh.data.shape_keys
    names = [key.name for key in keys.key_blocks[1:]] if keys else []
    for key in keys.key_blocks[1:] if keys else ():  # USD's importer lets them go from 0 to 1 only
        key.slider_min, key.slider_max = -10, 10
    bpy.context.scene.frame_set(first_frame(came))
    assert names == ([f"shape_{index}" for index in range(10)] if shape == "keys" else [])
    vertices = evaluated_vertices(mesh)
    # Vertices may be split at the seams of the UVs: each one must be one of ours.
    assert np.linalg.norm(vertices[:, None] - expected[None], axis=2).min(axis=1).max() < NEAR


def test_clothes_come_along(moving, tmp_path):
    mesh = bodies.body_mesh(moving)
    shirt = mesh.copy()
    shirt.data = mesh.data.copy()
    shirt.name = "shirt"
    shirt.shape_key_clear()
    shirt.modifiers.new("Solid", "SOLIDIFY")
    bpy.context.scene.collection.objects.link(shirt)
    tool = bpy.data.objects.new("tool", mesh.data.copy())
    tool.parent = moving  # it hangs on the rig, and is no skin of it
    bpy.context.scene.collection.objects.link(tool)
    name = mesh.name
    api.export_bodies(tmp_path / "body.fbx", [moving])
    imported(tmp_path / "body.fbx")
    assert {item.name for item in bpy.context.scene.objects if item.type == "MESH"} == {name, "shirt"}


def test_strips_are_baked(moving, tmp_path):
    animation = moving.animation_data
    strip = animation.nla_tracks.new().strips.new("walk", 21, animation.action)
    animation.action = None
    first, last = int(strip.frame_start), int(strip.frame_end)
    expected, bones = joints_over(moving, range(first, last + 1)), bone_names(moving)
    assert np.ptp(expected, axis=0).max() > 0.1
    assert api.export_bodies(tmp_path / "body.glb", [moving]) == (first, last)
    rig = imported(tmp_path / "body.glb")
    assert np.abs(joints_over(rig, range(first, last + 1), bones) - expected).max() < NEAR


def test_inverse_kinematics_are_baked(moving, tmp_path):
    bpy.context.view_layer.objects.active = moving
    add_ik(moving)
    for frame in (3, 9):
        moving.pose.bones["hand_ik.L"].location.z += 0.1
        moving.pose.bones["hand_ik.L"].keyframe_insert("location", frame=frame)
    expected, bones = joints_over(moving, FRAMES), bone_names(moving)
    api.export_bodies(tmp_path / "body.glb", [moving])
    rig = imported(tmp_path / "body.glb")
    assert np.abs(joints_over(rig, FRAMES, bones) - expected).max() < NEAR
    assert {bone.name for bone in rig.data.bones} == {"root", *bones}


def test_lengths_are_metres_whatever_the_scenes_unit_and_the_bodys_place_and_size(moving, tmp_path):
    scene, parent = bpy.context.scene, bpy.data.objects.new("carrier", None)
    scene.unit_settings.system, scene.unit_settings.scale_length = "METRIC", 0.1
    scene.collection.objects.link(parent)
    parent.location, parent.rotation_euler = (3, -2, 1), (0.2, 0.1, 0.7)
    moving.parent = parent
    moving.scale = (1.25, 1.25, 1.25)
    bpy.context.view_layer.update()
    expected, path, bones = 0.1 * joints_over(moving, FRAMES), tmp_path / "body.glb", bone_names(moving)
    api.export_bodies(path, [moving])
    rig = imported(path)
    assert np.abs(joints_over(rig, range(3, 15), bones) - expected).max() < NEAR
    assert np.abs(np.array(rig.matrix_world.to_scale()) - 1).max() < 1e-6


def test_several_bodies_and_chosen_frames(install_fake, pictures, tmp_path):
    install_fake().prepare_motion(pictures, people=2)
    bpy.context.scene.render.fps = 30
    rigs = [made.rig for made in api.reconstruct_motion(pictures).outcome.bodies]
    expected, path = [joints_over(rig, range(5, 9)) for rig in rigs], tmp_path / "both.fbx"
    names, bones = [rig.name for rig in rigs], bone_names(rigs[0])
    assert api.export_bodies(path, frames=(5, 8)) == (5, 8)
    assert [rig.name for rig in rigs] == names
    imported(path)
    for name, joints in zip(names, expected, strict=True):
        rig = bpy.context.scene.objects[name]
        assert np.abs(joints_over(rig, range(first_frame(rig), first_frame(rig) + 4), bones) - joints).max() < NEAR


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".usdc"])
def test_bodies_that_share_their_data_come_along_and_keep_their_names(moving, tmp_path, suffix):
    """As linked duplicates do; and a body that is named twice is one."""
    mesh, twin = bodies.body_mesh(moving), moving.copy()
    skin = mesh.copy()
    for item in (twin, skin):
        bpy.context.scene.collection.objects.link(item)
    twin.location.x += 3
    skin.parent, skin.modifiers[0].object = twin, twin
    bpy.context.view_layer.update()
    before = scene_state()
    api.export_bodies(tmp_path / f"body{suffix}", [moving, twin, moving])
    assert scene_state() == before
    imported(tmp_path / f"body{suffix}")
    assert sorted(item.type for item in bpy.data.objects if item.type != "EMPTY")[:2] == ["ARMATURE", "ARMATURE"]
    assert sum(item.type == "MESH" and "body" in item.name for item in bpy.data.objects) == 2


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".bvh", ".usdc"])
def test_a_motion_before_frame_zero_is_written_from_there(moving, tmp_path, suffix):
    expected, path, bones = joints_over(moving, FRAMES), tmp_path / f"body{suffix}", bone_names(moving)
    for curve in curves_of(moving):
        for key in curve.keyframe_points:
            key.co_ui.x -= 40
        curve.update()
    assert api.export_bodies(path, [moving]) == (-37, -26)
    rig = imported(path)
    start = first_frame(rig)
    names = came_as(rig, bones)
    assert np.abs(joints_over(rig, range(start, start + 12), names) - expected).max() < NEAR


@pytest.mark.parametrize("scale", [(1, 2, 1), (-1, 1, 1), (0, 0, 0)])
def test_a_stretched_body_is_named(still, tmp_path, scale):
    still.scale = scale
    bpy.context.view_layer.update()
    before = scene_state()
    for call in (
        lambda: api.export_bodies(tmp_path / "body.fbx", [still]),
        lambda: api.export_bodies(tmp_path / "body.npz", [still]),
        lambda: api.pose_asset(still),
    ):
        with pytest.raises(SourceError, match="stretched or mirrored"):
            call()
    assert scene_state() == before and not any(tmp_path.glob("body.*"))


@pytest.mark.parametrize("suffix", [".fbx", ".glb", ".bvh", ".usd"])
def test_nothing_in_the_scene_changes(moving, tmp_path, suffix):
    scene, layer = bpy.context.scene, bpy.context.view_layer
    other = bpy.data.objects.new("Armature", None)
    scene.collection.objects.link(other)
    for item in scene.objects:
        item.select_set(item == other)
    layer.objects.active = moving
    bpy.ops.object.mode_set(mode="POSE")
    scene.frame_set(7)
    moving.pose.bones["neck"].rotation_quaternion = (0.6, 0.8, 0, 0)  # not keyed
    layer.update()

    def state() -> dict[str, object]:
        return {
            **scene_state(),
            "scenes": bpy.data.scenes.keys(),
            "mode": (bpy.context.mode, scene.frame_current, bpy.context.scene.name),
            "pose": [list(bone.rotation_quaternion) for bone in moving.pose.bones],
            "bones": [bone.matrix.copy() for bone in moving.pose.bones],
            "range": (scene.frame_start, scene.frame_end, scene.render.fps),
        }

    before = state()
    api.export_bodies(tmp_path / f"body{suffix}", [moving], target="unreal")
    assert state() == before


@pytest.mark.parametrize(
    ("name", "what"), [("body.obj", "has to end with one of"), ("body", "has to end"), ("folder.fbx", "folder.fbx")]
)
def test_files_that_cannot_be_written_are_one_sentence(still, tmp_path, name, what):
    (tmp_path / "folder.fbx").mkdir()
    before = scene_state()
    with pytest.raises(RefitError, match=what) as caught:
        api.export_bodies(tmp_path / name, [still])
    assert "\n" not in str(caught.value)
    assert scene_state() == before
    assert bpy.data.scenes.keys() == ["Scene"]


def test_what_cannot_be_exported_is_named(still, tmp_path):
    twin = still.copy()
    bpy.context.scene.collection.objects.link(twin)
    with pytest.raises(SourceError, match=r"one body of a file: choose one of a photo, a photo\.001\."):
        api.export_bodies(tmp_path / "body.bvh", [still, twin])
    bpy.data.objects.remove(twin)
    with pytest.raises(SourceError, match="“a photo body” is no ReFit body"):
        api.export_bodies(tmp_path / "body.fbx", [bodies.body_mesh(still)])
    with pytest.raises(SourceError, match="The target “unrael” is none of plain, unreal, unity, godot"):
        api.export_bodies(tmp_path / "a.fbx", [still], target="unrael")
    with pytest.raises(SourceError, match="The shape “key” is none of baked, keys"):
        api.export_bodies(tmp_path / "a.fbx", [still], shape="key")
    with pytest.raises(SourceError, match="Frames 9 to 2"):
        api.export_bodies(tmp_path / "body.fbx", [still], frames=(9, 2))
    mesh = bodies.body_mesh(still)
    bpy.data.objects.remove(still)
    bpy.data.objects.remove(mesh)
    with pytest.raises(SourceError, match="no ReFit body"):
        api.export_bodies(tmp_path / "body.fbx")


def test_a_bone_that_was_renamed_is_named(still, tmp_path):
    still.pose.bones["neck"].name = "my neck"
    with pytest.raises(SourceError, match="neck"):
        api.export_bodies(tmp_path / "body.fbx", [still])
    assert bpy.data.scenes.keys() == ["Scene"]


def test_a_bone_of_the_users_own_comes_along_and_a_control_does_not(moving, tmp_path):
    bpy.context.view_layer.objects.active = moving
    bpy.ops.object.mode_set(mode="EDIT")
    for name, deforms in (("prop", True), ("control", False)):
        bone = moving.data.edit_bones.new(name)
        bone.parent = moving.data.edit_bones["hand.R"]
        bone.head, bone.tail, bone.use_deform = (0, 1, 0), (0, 1, 0.3), deforms
    bpy.ops.object.mode_set(mode="OBJECT")
    api.export_bodies(tmp_path / "body.glb", [moving])
    rig = imported(tmp_path / "body.glb")
    assert rig.data.bones["prop"].parent.name == "hand.R"
    assert "control" not in rig.data.bones
