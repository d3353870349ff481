# SPDX-License-Identifier: GPL-3.0-or-later
"""Another press moves the bodies that are there, and keys them: who is who, with which shape, before which camera."""

import bpy
import numpy as np
import pytest
from blender_helpers import evaluated_vertices, scene_state

from refit_blender import api
from refit_blender.engine_job import Options
from refit_blender.errors import SourceError
from refit_blender.photo_update import PhotoUpdate
from refit_blender.scene import body as bodies
from refit_blender.scene import cameras, frames, images, reconstructions, sources
from refit_blender.scene.keying import curves_of
from refit_blender.scene.rigs import bone_names
from refit_blender.session import state


def press(photo, frame=1, **settings):
    """Go to a frame and press Reconstruct; the latest reconstruction."""
    bpy.context.scene.frame_set(frame)
    for name, value in {"image_path": str(photo), **settings}.items():
        setattr(bpy.context.scene.refit, name, value)
    assert bpy.ops.refit.reconstruct() == {"FINISHED"}
    return reconstructions.in_scene(bpy.context.scene)[0]


def expected(result, person, camera) -> np.ndarray:
    """Vertices of a person of a result in front of a camera of the scene."""
    R, t = cameras.extrinsics(np.array(camera.matrix_world))
    return (result["vertices_cam"][person] - t) @ R


def skin(rig) -> np.ndarray:
    return evaluated_vertices(bodies.body_mesh(rig))


def keyed_frames(rig) -> dict[str, set[float]]:
    """The frames at which each bone's property is keyed."""
    found = {}
    for curve in curves_of(rig):
        found.setdefault(curve.data_path, set()).update(key.co.x for key in curve.keyframe_points)
    return found


def test_pose_is_keyed_at_the_current_frame(photo, install_fake):
    install_fake()
    (rig,) = press(photo, 12).bodies.values()
    paths = {f'pose.bones["{name}"].rotation_quaternion' for name in ("root", *bone_names(rig))}
    paths |= {f'pose.bones["{name}"].location' for name in ("root", "pelvis")}
    assert keyed_frames(rig) == {path: {12.0} for path in paths}


def test_blenders_own_gltf_export_shows_the_pose(photo, install_fake, tmp_path):
    install_fake()
    (rig,) = press(photo).bodies.values()
    bpy.context.view_layer.update()
    joints = {name: np.array(rig.matrix_world @ rig.pose.bones[name].head) for name in bone_names(rig)}
    bpy.ops.export_scene.gltf(filepath=str(tmp_path / "default.glb"))
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "default.glb"))
    bpy.context.scene.frame_set(bpy.context.scene.frame_start)
    armature = next(item for item in bpy.context.scene.objects if item.type == "ARMATURE")
    for name, place in joints.items():
        np.testing.assert_allclose(armature.matrix_world @ armature.pose.bones[name].head, place, atol=1e-3)


@pytest.mark.parametrize(("kind", "root_motion"), [("ANIMATION", True), ("ANIMATION", False), ("SMPL", True)])
def test_press_at_another_frame_moves_the_same_body(photo, install_fake, kind, root_motion):
    fake = install_fake()
    first = fake.result
    known = press(photo, rig=kind, root_motion=root_motion)
    (rig,) = known.bodies.values()
    place = known.camera.matrix_world.copy()
    second = fake.prepare(photo, seed=8, shapes=first["betas"])
    assert press(photo, 10) == known and list(known.bodies.values()) == [rig]
    assert len([item for item in bpy.data.objects if item.type == "ARMATURE"]) == 1 and known.frames == [1, 10]
    assert known.camera.matrix_world == place
    for frame, result in ((10, second), (1, first)):
        bpy.context.scene.frame_set(frame)
        np.testing.assert_allclose(skin(rig), expected(result, 0, known.camera), atol=1e-4)
    assert {frozenset(frames) for frames in keyed_frames(rig).values()} == {frozenset({1.0, 10.0})}
    asked = fake.request()
    np.testing.assert_allclose(asked["betas"], first["betas"][0], atol=1e-6)
    assert asked["images"][0]["focal"] == pytest.approx(first["K"][0, 0])
    assert state.report.startswith("1 body updated at frame 10 from a photo.png")
    assert rig["refit_focal_source"] == "default"


def test_rotations_go_the_short_way_from_key_to_key(photo, install_fake):
    fake = install_fake()
    (rig,) = press(photo).bodies.values()
    for frame in range(2, 8):
        fake.prepare(photo, seed=frame, shapes=fake.result["betas"])
        press(photo, frame)
    curves = {(curve.data_path, curve.array_index): curve for curve in curves_of(rig)}
    for name in ("root", *bone_names(rig)):
        path = f'pose.bones["{name}"].rotation_quaternion'
        values = np.array([[curves[path, index].evaluate(frame) for index in range(4)] for frame in range(1, 8)])
        assert (np.sum(values[1:] * values[:-1], axis=1) > 0).all()


def test_bodies_are_told_apart_by_their_places(photo, install_fake):
    fake = install_fake(people=3)
    first = {name: value.copy() for name, value in fake.result.items()}
    known = press(photo)
    rigs = list(known.bodies.values())
    swapped = fake.prepare(photo, people=3, seed=8, shapes=first["betas"])
    order = [2, 0, 1]
    for name in ("betas", "rotmats", "transl", "vertices_cam", "boxes_xywh", "on_floor"):
        swapped[name] = swapped[name][order]
    np.savez(fake.folder / "result.npz", **swapped)
    press(photo, 5)
    assert list(known.bodies.values()) == rigs
    for person, number in enumerate(order):
        np.testing.assert_allclose(skin(rigs[number]), expected(swapped, person, known.camera), atol=1e-4)
        np.testing.assert_allclose(bodies.current_betas(rigs[number]), first["betas"][number], atol=1e-6)
    asked = [one["betas"] for one in fake.requests() if one["method"] == "reconstruct"][1:]
    assert sorted(one[0] for one in asked) == pytest.approx(sorted(first["betas"][:, 0]))


def test_somebody_who_comes_in_later_is_added(photo, install_fake):
    fake = install_fake()
    known = press(photo)
    shapes = np.concatenate([fake.result["betas"], np.zeros((1, 10))])
    result = fake.prepare(photo, people=2, shapes=shapes)
    press(photo, 30)
    assert list(known.bodies) == [1, 2]
    assert known.bodies[2].name == "a photo person 2"
    for number in (1, 2):
        np.testing.assert_allclose(skin(known.bodies[number]), expected(result, number - 1, known.camera), atol=1e-4)
    assert [one["betas"] is None for one in fake.requests() if one["method"] == "reconstruct"] == [True, False, True]


@pytest.mark.parametrize("kind", ["ANIMATION", "SMPL"])
def test_press_at_the_only_frame_solves_anew(photo, install_fake, kind):
    fake = install_fake(correctives=True)
    known = press(photo, rig=kind)
    (rig,) = known.bodies.values()
    ground = np.array(rig.matrix_world.translation)
    K = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    betas = fake.result["betas"] + 0.8
    result = fake.prepare(photo, K=K, shapes=betas)
    fake.prepare(photo, shapes=betas)  # the box stays where the body is seen
    boxes = np.load(fake.folder / "result.npz")["boxes_xywh"]
    np.savez(fake.folder / "result.npz", **{**result, "boxes_xywh": boxes})
    assert press(photo) == known and list(known.bodies.values()) == [rig]
    assert fake.request()["betas"] is None
    np.testing.assert_allclose(bodies.current_betas(rig), betas[0], atol=1e-6)
    np.testing.assert_allclose(skin(rig), expected(result, 0, known.camera), atol=1e-4)
    scene = bpy.context.scene
    seen = cameras.intrinsics(cameras.lens_of(known.camera, scene), cameras.frame_of(scene))
    np.testing.assert_allclose(seen, K, atol=1e-3)
    np.testing.assert_allclose(np.array(rig.matrix_world.translation), ground, atol=1e-6)
    assert skin(rig)[:, 2].min() == pytest.approx(0, abs=1e-4)


def test_up_that_was_set_by_hand_is_kept(photo, install_fake):
    install_fake()
    known = press(photo)
    known.collection.refit.pitch = np.radians(-15)
    place = np.array(known.camera.matrix_world)
    press(photo)
    np.testing.assert_allclose(np.array(known.camera.matrix_world)[:3, :3], place[:3, :3], atol=1e-5)
    (rig,) = known.bodies.values()
    assert skin(rig)[:, 2].min() == pytest.approx(0, abs=1e-4)
    assert np.degrees(known.collection.refit.pitch) == pytest.approx(-15)


def test_another_photo_is_another_reconstruction(photo, install_fake, tmp_path):
    install_fake()
    known = press(photo)
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    assert press(other, 5) != known
    assert len(reconstructions.in_scene(bpy.context.scene)) == 2 and known.frames == [1]


def test_another_sex_is_another_reconstruction(photo, install_fake):
    fake = install_fake()
    first = press(photo)
    again = press(photo, 2, gender="FEMALE")
    assert fake.request()["gender"] == "female"
    assert again.collection != first.collection and len(reconstructions.in_scene(bpy.context.scene)) == 2


def test_next_picture_of_a_sequence_belongs_to_it_at_another_frame(photo, install_fake, tmp_path):
    install_fake()
    pictures = [tmp_path / f"walk_{number:03d}.png" for number in (1, 9, 5)]
    for picture in pictures:
        picture.write_bytes(photo.read_bytes())
    known = press(pictures[0])
    assert press(pictures[1], 9) == known and known.frames == [1, 9]
    background = images.camera_background(known.camera)
    for frame, picture in ((9, pictures[1]), (1, pictures[0])):
        assert frames.background_file(background, frame, tmp_path) == picture
    assert press(pictures[2], 9) != known  # that frame has its picture


def test_pictures_out_of_step_with_the_frames_are_shown_one_at_a_time(photo, install_fake, tmp_path):
    install_fake()
    pictures = [tmp_path / f"walk_{number:03d}.png" for number in (1, 4)]
    for picture in pictures:
        picture.write_bytes(photo.read_bytes())
    known = press(pictures[0])
    assert press(pictures[1], 30) == known
    assert images.footage_of(images.camera_background(known.camera).picture) == str(pictures[1])


def test_footage_behind_a_scenes_camera_updates_and_the_camera_may_move(photo, install_fake):
    fake = install_fake()
    scene = bpy.context.scene
    camera = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene.collection.objects.link(camera)
    scene.camera, camera.location, camera.rotation_euler = camera, (3, -5, 2), (1.2, 0.1, 0.7)
    camera.data.background_images.new().image = bpy.data.images.load(str(photo))
    camera.keyframe_insert("location", frame=1)
    camera.location.x += 1
    camera.keyframe_insert("location", frame=10)
    known = press("", source="CAMERA")
    (rig,) = known.bodies.values()
    result = fake.prepare(photo, seed=9, shapes=fake.result["betas"])
    assert press("", 10) == known and list(known.bodies.values()) == [rig]
    assert camera.matrix_world.translation.x == pytest.approx(4)
    np.testing.assert_allclose(skin(rig), expected(result, 0, camera), atol=1e-4)


def test_job_belongs_to_the_frame_at_which_it_was_started(photo, install_fake, tmp_path):
    install_fake()
    known = press(photo)
    (rig,) = known.bodies.values()
    scene = bpy.context.scene
    scene.frame_set(7)
    job = PhotoUpdate(bpy.context, known, sources.file_source(photo, tmp_path), Options(), tmp_path)
    scene.frame_set(50)
    job.wait()
    job.finish(bpy.context)
    assert scene.frame_current == 50 and known.frames == [1, 7]
    assert keyed_frames(rig)['pose.bones["pelvis"].location'] == {1.0, 7.0}


def leave_view_layer(known):
    bpy.context.view_layer.layer_collection.children[known.collection.name].exclude = True


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (leave_view_layer, "not in this view layer"),
        (lambda known: bpy.data.objects.remove(known.camera), "camera"),
        (lambda known: bpy.data.objects.remove(next(iter(known.bodies.values()))), "deleted"),
        (lambda known: bpy.data.collections.remove(known.collection), "removed"),
        (lambda known: setattr(next(iter(known.bodies.values())).data.bones["head"], "name", "skull"), "“head”"),
    ],
)
def test_what_was_deleted_meanwhile_is_named(photo, install_fake, tmp_path, harm, sentence):
    install_fake()
    known = press(photo)
    bpy.context.scene.frame_set(7)
    job = PhotoUpdate(bpy.context, known, sources.file_source(photo, tmp_path), Options(), tmp_path)
    harm(known)
    before = scene_state()
    job.wait()
    with pytest.raises(SourceError, match=sentence):
        job.finish(bpy.context)
    assert scene_state() == before


def test_nobody_in_the_picture_moves_nobody(photo, install_fake):
    fake = install_fake()
    known = press(photo)
    np.savez(fake.folder / "result.npz", **{**fake.result, "boxes_xywh": np.zeros((0, 4))})
    with pytest.raises(RuntimeError, match="Nobody was found in a photo.png"):
        press(photo, 3)
    assert known.frames == [1]


def test_photo_is_packed_where_that_is_wanted(photo, install_fake, preferences):
    install_fake()
    preferences.pack_photo = True
    known = press(photo)
    assert known.camera.data.background_images[0].image.packed_file
    assert press(photo, 4) == known


def test_given_box_has_no_score(photo, install_fake):
    fake = install_fake()
    np.savez(fake.folder / "result.npz", **{**fake.result, "scores": np.array([np.nan])})
    (rig,) = press(photo).bodies.values()
    assert "refit_score" not in rig


def test_known_height_reaches_the_engine_in_metres(photo, install_fake):
    fake = install_fake()
    bpy.context.scene.unit_settings.scale_length = 0.01
    press(photo, height=182.0)
    assert fake.request()["height"] == pytest.approx(1.82)


def test_bodies_of_several_cameras_are_keyed_and_updated(four_cameras, install_fake):
    fake = install_fake()
    names = ["cam_1", "cam_2", "cam_3", "cam_10"]
    first = fake.prepare_views(names, people=2)
    made = api.fit_cameras(update=True).outcome
    rigs = [one.rig for one in made.bodies]
    second = fake.prepare_views(names, people=2, seed=12, shapes=first["betas"])
    bpy.context.scene.frame_set(8)
    finished = api.fit_cameras(update=True)
    assert [one.rig for one in finished.outcome.bodies] == rigs and "updated at frame 8" in finished.summary()
    for frame, result in ((8, second), (1, first)):
        bpy.context.scene.frame_set(frame)
        for index, rig in enumerate(rigs):
            np.testing.assert_allclose(skin(rig), result["vertices_world"][index], atol=1e-4)


def test_one_body_of_several_cameras_keeps_its_shape(four_cameras, install_fake):
    fake = install_fake()
    names = ["cam_1", "cam_2", "cam_3", "cam_10"]
    first = fake.prepare_views(names)
    api.fit_cameras(update=True)
    bpy.context.scene.frame_set(8)
    api.fit_cameras(update=True)
    np.testing.assert_allclose(fake.request()["betas"], first["betas"][0], atol=1e-6)
    assert len(api.fit_cameras().outcome.bodies) == 1
    assert len([item for item in bpy.data.objects if item.type == "ARMATURE"]) == 2
