# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose library: retargeting keeps bones where the source has them, samples keep to what bodies can do."""

from __future__ import annotations

import lzma
import sys

import numpy as np
import pytest
import roma
import torch
from refit_engine.body import load_body
from refit_training.poses import PoseLibrary, clamp, limits, mirror
from refit_training.poses.__main__ import main
from refit_training.poses.collision import penetration
from refit_training.poses.procedural import draw_templates, pose_from_angles
from refit_training.poses.retarget import retarget, share_arm_elevation
from refit_training.poses.skeleton import (
    LIMB_BONES,
    PARENTS,
    REST_JOINTS,
    forward_kinematics,
    to_global,
    to_local,
)
from refit_training.poses.sources import read_amc, read_asf, read_bvh, read_sources
from refit_training.poses.templates import ARMS, BODIES, DEFAULTS, MIDLINE, SIDED

# name, parent, direction, length, axis, degrees of freedom: the bones of a CMU skeleton that poses are taken from.
_BONES = [
    ("lfemur", "root", (0.342, -0.94, 0), 7, (0, 0, 20), "rx ry rz"),
    ("ltibia", "lfemur", (0.342, -0.94, 0), 7, (0, 0, 20), "rx"),
    ("lfoot", "ltibia", (0.09, -0.26, 0.96), 2, (-90, 0, 20), "rx rz"),
    ("ltoes", "lfoot", (0, 0, 1), 1, (-90, 0, 20), "rx"),
    ("lowerback", "root", (0, 1, 0), 2, (0, 0, 0), "rx ry rz"),
    ("upperback", "lowerback", (0, 1, 0), 2, (0, 0, 0), "rx ry rz"),
    ("thorax", "upperback", (0, 1, 0), 2, (0, 0, 0), "rx ry rz"),
    ("upperneck", "thorax", (0, 1, 0), 1, (0, 0, 0), "rx ry rz"),
    ("head", "upperneck", (0, 1, 0), 1, (0, 0, 0), "rx ry rz"),
    ("lclavicle", "thorax", (0.94, 0.33, 0), 3, (0, 0, 0), "ry rz"),
    ("lhumerus", "lclavicle", (1, 0, 0), 5, (180, -30, -90), "rx ry rz"),
    ("lradius", "lhumerus", (1, 0, 0), 3, (180, -30, -90), "rx"),
    ("lwrist", "lradius", (1, 0, 0), 1, (0, 90, 90), "ry"),
    ("lhand", "lwrist", (1, 0, 0), 1, (0, 90, 90), "rx rz"),
]


def _both_sides():
    for name, parent, direction, length, axis, freedoms in _BONES:
        yield name, parent, direction, length, axis, freedoms
        if name[0] == "l" and name != "lowerback":
            other = "r" + parent[1:] if parent[0] == "l" else parent
            flipped = (-direction[0], *direction[1:])
            yield "r" + name[1:], other, flipped, length, (axis[0], -axis[1], -axis[2]), freedoms


@pytest.fixture
def skeleton_file(tmp_path):
    lines = [":root", "  order TX TY TZ RX RY RZ", ":bonedata"]
    for name, _, direction, length, axis, freedoms in _both_sides():
        lines += ["  begin", f"     name {name}", "     direction {} {} {}".format(*direction), f"     length {length}"]
        lines += ["     axis {} {} {} XYZ".format(*axis), f"    dof {freedoms}", "    limits (-160.0 20.0)", "  end"]
    lines += [":hierarchy", "  begin"]
    lines += [f"    {parent} {name}" for name, parent, *_ in _both_sides()]
    path = tmp_path / "01.asf.xz"
    path.write_bytes(lzma.compress("\n".join([*lines, "  end", ""]).encode()))
    return path


def _motion(folder, skeleton_file, frames):
    """Write and read a clip; each frame maps bones to their angles, the others rest."""
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for number, angles in enumerate(frames, 1):
        lines += [str(number), "root 0 17 0 {} {} {}".format(*angles.get("root", (0, 0, 0)))]
        for name, *_, freedoms in _both_sides():
            values = angles.get(name, np.zeros(len(freedoms.split())))
            lines.append(" ".join([name, *map(str, values)]))
    path = folder / "01_01.amc.xz"
    path.write_bytes(lzma.compress("\n".join([*lines, ""]).encode()))
    return read_amc(path, read_asf(skeleton_file))


def _unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _random_frames(rng, count, spread=25):
    names = [(name, len(freedoms.split())) for name, *_, freedoms in _both_sides()]
    return [{name: rng.normal(0, spread, size) for name, size in names} for _ in range(count)]


def _about(axis, degrees, joint):
    pose = np.tile(np.eye(3, dtype=np.float32), (1, 24, 1, 1))
    vector = torch.tensor(axis, dtype=torch.float32) * np.radians(degrees)
    pose[0, joint] = roma.rotvec_to_rotmat(vector).numpy()
    return pose


def test_limbs_point_where_the_source_has_them(tmp_path, skeleton_file):
    motion = _motion(tmp_path, skeleton_file, _random_frames(np.random.default_rng(0), 8))
    source = motion.positions()
    posed = forward_kinematics(retarget(motion).astype(np.float64))

    names = list(read_asf(skeleton_file))
    bones = {(1, 4): "lfemur", (2, 5): "rfemur", (4, 7): "ltibia", (5, 8): "rtibia"}
    bones |= {(16, 18): "lhumerus", (17, 19): "rhumerus", (18, 20): "lradius", (19, 21): "rradius"}
    for (start, end), name in bones.items():
        row = 2 * names.index(name)
        expected = _unit(source[:, row + 1] - source[:, row])
        np.testing.assert_allclose(_unit(posed[:, end] - posed[:, start]), expected, atol=1e-5, err_msg=name)


def test_left_knee_and_elbow_bend_on_the_left_and_the_right_way(tmp_path, skeleton_file):
    pose = retarget(_motion(tmp_path, skeleton_file, [{}, {"ltibia": [80], "lradius": [70]}])).astype(np.float64)
    before, after = forward_kinematics(pose)
    shin, forearm = after[7] - after[4], after[20] - after[18]
    assert shin[2] < before[7, 2] - before[4, 2] - 0.3  # the heel goes back
    assert forearm[2] > before[20, 2] - before[18, 2] + 0.15  # the hand comes forward
    np.testing.assert_allclose(after[[5, 8, 19, 21]], before[[5, 8, 19, 21]], atol=1e-5)
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(pose).float())
    angles = np.degrees(limits.to_coordinates(quaternions)[1].numpy())
    assert angles[4, 0] == pytest.approx(80, abs=8)
    assert angles[18, 0] == pytest.approx(70, abs=8)


def test_source_at_rest_is_the_body_standing_with_level_arms(tmp_path, skeleton_file):
    posed = forward_kinematics(retarget(_motion(tmp_path, skeleton_file, [{}])).astype(np.float64))[0]
    assert posed[20, 0] > posed[16, 0] + 0.4 and posed[21, 0] < posed[17, 0] - 0.4
    assert abs(posed[20, 1] - posed[16, 1]) < 0.08
    assert posed[10, 2] > posed[7, 2] + 0.08  # toes forward


def test_sharing_the_raise_with_the_collars_leaves_the_arms_where_they_were():
    rng = np.random.default_rng(1)
    poses = roma.unitquat_to_rotmat(draw_templates(rng, 50)).numpy().astype(np.float64)
    shared = share_arm_elevation(poses)
    np.testing.assert_allclose(to_global(shared)[:, 16:], to_global(poses)[:, 16:], atol=1e-5)
    raised = _about((0, 0, 1), 70, 16).astype(np.float64)
    collar = share_arm_elevation(raised)[0, 13]
    assert (collar @ [1, 0, 0])[1] > 0.2  # a raised arm lifts its shoulder


def test_bvh_offsets_and_channels_become_directions(tmp_path):
    names = "root spine04 spine03 spine01 neck02 head".split()
    sided = "shoulder01 upperarm01 upperarm02 lowerarm01 wrist finger2-1 finger3-1 finger5-1".split()
    legs = "upperleg01 upperleg02 lowerleg01 foot toe3-1".split()
    offsets = {
        "shoulder01": (1, 0, 0), "upperarm01": (1, 0, 0), "upperarm02": (1, 0, -1), "lowerarm01": (1, 0, -1),
        "wrist": (1, -1, -1), "finger2-1": (1, -1, 0), "finger3-1": (1, 0, 0), "finger5-1": (1, 1, 0),
        "upperleg01": (1, 0, 0), "upperleg02": (0, 0, -1), "lowerleg01": (0, 0, -3), "foot": (0, 0, -3),
        "toe3-1": (0, -1, 0),
    }  # fmt: skip
    parents = {"upperarm01": "shoulder01", "upperarm02": "upperarm01", "lowerarm01": "upperarm02"}
    parents |= {"wrist": "lowerarm01", "finger2-1": "wrist", "finger3-1": "wrist", "finger5-1": "wrist"}
    parents |= {"upperleg02": "upperleg01", "lowerleg01": "upperleg02", "foot": "lowerleg01", "toe3-1": "foot"}
    values: list[float] = []

    def write(name, depth):
        base, _, side = name.partition(".")
        x, y, z = offsets.get(base, (0, 0, 1))
        pad = "  " * depth
        text = f"{pad}{'JOINT' if depth else 'ROOT'} {name}\n{pad}{{\n{pad} OFFSET {-x if side == 'R' else x} {y} {z}\n"
        text += f"{pad} CHANNELS 3 Xrotation Yrotation Zrotation\n"
        values.extend((30, 0, 0) if name == "lowerleg01.L" else (0, 0, 0))
        if not side and name in names[:-1]:
            text += write(names[names.index(name) + 1], depth + 1)
        for letter in "LR":
            if (name, base) in (("spine01", "spine01"), ("root", "root")):
                text += write(f"{'shoulder01' if name == 'spine01' else 'upperleg01'}.{letter}", depth + 1)
        if side:
            children = [child for child in (*sided, *legs) if parents.get(child) == base]
            text += "".join(write(f"{child}.{side}", depth + 1) for child in children)
        if not side or children:
            return text + f"{pad}}}\n"
        return text + f"{pad} End Site\n{pad} {{\n{pad}  OFFSET 0 0 1\n{pad} }}\n{pad}}}\n"

    hierarchy = write("root", 0)
    path = tmp_path / "bend.bvh"
    numbers = " ".join(map(str, values))
    straight = " ".join("0" for _ in values)
    path.write_text(f"HIERARCHY\n{hierarchy}MOTION\nFrames: 2\nFrame Time: 0.041667\n{numbers}\n{straight}\n")
    posed, unbent = forward_kinematics(retarget(read_bvh(path)).astype(np.float64))
    down = np.array([0, -1, 0])
    assert _unit(posed[4] - posed[1]) @ down == pytest.approx(1, abs=1e-6)
    # Turning about the source's X (the body's left) by 30 degrees swings the shin that far.
    assert _unit(posed[7] - posed[4]) @ down == pytest.approx(np.cos(np.radians(30)), abs=1e-6)
    assert posed[7, 2] < posed[4, 2] and posed[18, 0] > 0 > posed[19, 0]
    assert _unit(unbent[7] - unbent[4]) @ down == pytest.approx(1, abs=1e-6)


def test_clips_on_smpls_joints_keep_their_limbs_and_come_last(tmp_path, skeleton_file):
    rng = np.random.default_rng(5)
    rest = np.concatenate([REST_JOINTS * (1.1, 1.2, 1) + (0, 1, 0), [[0, 1.8, 0]]])
    local = roma.rotvec_to_unitquat(torch.from_numpy(rng.normal(0, 0.3, (6, 24, 3))))
    world = to_global(roma.unitquat_to_rotmat(local).numpy())
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(world)).numpy().astype(np.float16)
    arrays = {"clip": ["dance"], "skeleton": ["somebody"], "fps": [30.0], "parents": [*PARENTS, 15]}
    np.savez(tmp_path / "more_clips.npz", **arrays, **{"rotations.dance": quaternions, "rest.somebody": rest})
    _motion(tmp_path, skeleton_file, [{}])

    *_, motion = read_sources(tmp_path)
    assert (motion.name, motion.frame_rate) == ("dance", 30.0)
    posed, source = forward_kinematics(retarget(motion).astype(np.float64)), motion.positions()
    for start, end in LIMB_BONES.items():
        if start not in (7, 8):  # feet keep the angle of the sole, not of the bone
            expected = _unit(source[:, end] - source[:, start])
            np.testing.assert_allclose(_unit(posed[:, end] - posed[:, start]), expected, atol=1e-5)


def test_mirroring_swaps_sides_and_undoes_itself():
    poses = roma.unitquat_to_rotmat(draw_templates(np.random.default_rng(2), 20)).numpy()
    np.testing.assert_array_equal(mirror(mirror(poses)), poses)
    left, right = forward_kinematics(poses), forward_kinematics(mirror(poses))
    np.testing.assert_allclose(right[:, 21], left[:, 20] * (-1, 1, 1), atol=1e-5)
    np.testing.assert_allclose(right[:, 11], left[:, 10] * (-1, 1, 1), atol=1e-5)


def test_local_and_global_rotations_are_inverse():
    poses = roma.random_rotmat((5, 24)).double().numpy()
    np.testing.assert_allclose(to_local(to_global(poses)), poses, atol=1e-5)
    world = to_global(poses)
    for joint in range(1, 24):
        np.testing.assert_allclose(world[:, joint], world[:, PARENTS[joint]] @ poses[:, joint], atol=1e-9)


def test_rest_skeleton_is_the_bundled_bodys():
    joints, _ = load_body().joints_linear()
    for start, end in LIMB_BONES.items():
        cosine = _unit(joints[end] - joints[start]) @ _unit(REST_JOINTS[end] - REST_JOINTS[start])
        assert cosine > np.cos(np.radians(3))


def test_limit_coordinates_round_trip():
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(clamp(roma.random_rotmat((40, 24)).numpy())))
    again = limits.from_coordinates(limits.to_coordinates(quaternions))
    distance = roma.rotmat_geodesic_distance(
        roma.unitquat_to_rotmat(again[:, 1:]), roma.unitquat_to_rotmat(quaternions[:, 1:])
    )
    assert distance.max() < 2e-3


def test_clamping_settles_anything_and_treats_both_sides_alike():
    anything = roma.random_rotmat((200, 24)).numpy()
    settled = clamp(anything)
    np.testing.assert_allclose(clamp(settled), settled, atol=2e-3)
    np.testing.assert_allclose(mirror(clamp(mirror(anything))), settled, atol=1e-5)
    np.testing.assert_array_equal(settled[:, 0], anything[:, 0].astype(np.float32))
    np.testing.assert_allclose(
        settled @ np.swapaxes(settled, -1, -2), np.broadcast_to(np.eye(3), settled.shape), atol=1e-5
    )


@pytest.mark.parametrize(
    ("joint", "axis", "allowed", "forbidden"),
    [
        (4, (1, 0, 0), 140, -60),  # knees bend backwards only
        (5, (1, 0, 0), 140, -60),
        (18, (0, -1, 0), 140, -60),  # elbows bend forwards only
        (19, (0, 1, 0), 140, -60),
        (1, (-1, 0, 0), 120, -90),  # thighs come up in front, not behind
        (16, (0, -1, 0), 110, -110),  # arms cross the chest, not the back
    ],
)
def test_joints_bend_one_way(joint, axis, allowed, forbidden):
    assert limits.excess(_about(axis, allowed, joint)).max() < 0.03
    assert limits.excess(_about(axis, forbidden, joint))[0, joint] > np.radians(25)


def test_templates_use_known_angles_and_arms():
    for body in BODIES.values():
        assert set(body.both) | set(body.lead) | set(body.trail) <= set(DEFAULTS)
        assert not (set(body.lead) | set(body.trail)) - set(SIDED)
        assert set(body.arms) <= set(ARMS)
    assert set(DEFAULTS) == set(SIDED) | set(MIDLINE)


def _angles(**given):
    sided = [given.get(name, 90 if name == "arm_raise" else 0) for name in SIDED]
    midline = [given.get(name, 0) for name in MIDLINE]
    quaternions = pose_from_angles(np.array([[sided, sided]], float), np.array([midline], float))
    return forward_kinematics(roma.unitquat_to_rotmat(quaternions).numpy())[0]


def test_anatomical_angles_mean_what_they_say():
    rest = _angles()
    hanging = _angles(arm_raise=0)
    np.testing.assert_allclose(rest[[10, 11, 15]], REST_JOINTS[[10, 11, 15]], atol=1e-6)
    assert rest[18, 1] == pytest.approx(REST_JOINTS[18, 1], abs=0.02)
    assert hanging[18, 1] < rest[18, 1] - 0.2 and hanging[19, 1] < rest[19, 1] - 0.2
    assert _angles(arm_plane=90)[20, 2] > 0.4  # arms forward
    assert _angles(hip_flex=90)[4, 2] > 0.3 and _angles(hip_flex=90)[5, 2] > 0.3
    assert _angles(hip_spread=60)[4, 0] > 0.3 and _angles(hip_spread=60)[5, 0] < -0.3
    assert _angles(hip_flex=90, knee=90)[7, 1] < -0.4  # seated, feet down
    assert _angles(pitch=90)[15, 2] > 0.4  # face down: the head goes forward
    assert _angles(pitch=180)[15, 1] < -0.4  # upside down
    assert _angles(roll=90)[15, 0] < -0.4  # onto the right side
    assert _angles(spine_flex=60)[15, 2] > 0.2 and _angles(spine_lean=40)[15, 0] > 0.1
    assert _angles(point=40)[10, 1] < rest[10, 1]
    bent = _angles(arm_raise=0, elbow=90)
    assert bent[20, 2] > bent[18, 2] + 0.2


def test_limbs_inside_the_body_are_seen():
    rest = np.tile(np.eye(3, dtype=np.float32), (1, 24, 1, 1))
    assert penetration(rest)[0] < 0.02
    through_chest = _about((0, -1, 0), 150, 18) @ np.eye(3, dtype=np.float32)
    through_chest[0, 16] = _about((0, 0, 1), -60, 16)[0, 16]
    through_chest[0, 18] = _about((0, 0, 1), -100, 18)[0, 18]
    assert penetration(through_chest)[0] > 0.05
    crossed_shins = _about((0, 0, 1), -12, 1)
    crossed_shins[0, 2] = _about((0, 0, 1), 12, 2)[0, 2]
    assert penetration(crossed_shins)[0] > 0.03


@pytest.fixture
def mocap(tmp_path, skeleton_file):
    frames = _random_frames(np.random.default_rng(3), 24, spread=12)
    still = [frame for frame in frames for _ in range(8)]  # the same pose for many frames is one pose
    _motion(tmp_path, skeleton_file, still)
    return tmp_path


def test_library_keeps_distinct_poses_and_survives_its_file(mocap, tmp_path):
    library = PoseLibrary.build(mocap)
    assert 2 <= len(library) <= 24
    assert library.weights.sum() == pytest.approx(1)
    library.save(tmp_path / "poses.npz")
    loaded = PoseLibrary.load(tmp_path / "poses.npz")
    np.testing.assert_allclose(loaded.rotmats(), library.rotmats(), atol=1e-4)
    np.testing.assert_allclose(loaded.weights, library.weights, atol=1e-6)


def test_samples_are_poses_that_bodies_can_take(mocap):
    library = PoseLibrary.build(mocap)
    poses = library.sample(np.random.default_rng(4), 1500)
    assert poses.shape == (1500, 24, 3, 3) and poses.dtype == np.float32
    np.testing.assert_allclose(np.linalg.det(poses), 1, atol=1e-4)
    assert limits.excess(poses)[:, 1:].max() < 5e-3
    assert penetration(poses).max() < 0.04
    np.testing.assert_array_equal(poses, library.sample(np.random.default_rng(4), 1500))

    heading = poses[:, 0, :, 0]  # where the body's left points
    quarters = np.bincount((np.arctan2(heading[:, 2], heading[:, 0]) // (np.pi / 2)).astype(int) + 2, minlength=4)
    assert quarters.min() > 300
    upright = poses[:, 0, 1, 1]
    assert 0.4 < np.mean(upright > np.cos(np.radians(30))) < 0.7
    assert np.mean(upright < -0.5) > 0.05
    knees = limits.to_coordinates(roma.rotmat_to_unitquat(torch.from_numpy(poses)))[:, [4, 5], 0]
    assert (knees > np.radians(120)).float().mean() > 0.03


def test_folder_without_motion_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="No motion capture"):
        PoseLibrary.build(tmp_path)


def test_other_files_are_not_taken_for_a_library(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(ValueError, match="not a pose library"):
        PoseLibrary.load(tmp_path / "other.npz")


def test_command_builds_the_library_and_draws_samples(mocap, tmp_path, monkeypatch, capsys):
    out, sheet = tmp_path / "poses.npz", tmp_path / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["poses", "--mocap", str(mocap), "--out", str(out), "--sheet", str(sheet)])
    main()
    assert len(PoseLibrary.load(out)) >= 2 and sheet.stat().st_size > 10_000
    assert "tilt of the pelvis" in capsys.readouterr().out
