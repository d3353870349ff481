# SPDX-License-Identifier: GPL-3.0-or-later
"""K, R and t against Blender's own projection and against what Cycles renders."""

import math

import bpy
import numpy as np
import pytest
from blender_helpers import add_marker, render_picture
from mathutils import Euler, Matrix

from refit_blender.errors import SourceError
from refit_blender.scene import cameras, images, sources
from refit_blender.scene.cameras import Frame, Lens, Placement


@pytest.fixture
def camera():
    made = bpy.data.objects.new("cam", bpy.data.cameras.new("cam"))
    scene = bpy.context.scene
    scene.collection.objects.link(made)
    scene.camera = made
    return made


def configure(camera, rng: np.random.Generator) -> None:
    """Give camera and scene settings that are unlikely to be anybody's, but legal."""
    data, render = camera.data, bpy.context.scene.render
    data.sensor_fit = str(rng.choice(["AUTO", "HORIZONTAL", "VERTICAL"]))
    data.lens = rng.uniform(15, 120)
    data.sensor_width, data.sensor_height = rng.uniform(10, 50, 2)
    data.shift_x, data.shift_y = rng.uniform(-0.4, 0.4, 2)
    render.resolution_x, render.resolution_y = rng.integers(50, 3000, 2).tolist()
    render.resolution_percentage = int(rng.integers(20, 130))
    render.pixel_aspect_x, render.pixel_aspect_y = [(1, 1), (1, 1.7), (2, 1)][rng.integers(3)]
    camera.location = rng.normal(size=3)
    camera.rotation_euler = rng.uniform(-3, 3, 3)
    camera.scale = rng.uniform(0.5, 2, 3)
    bpy.context.view_layer.update()


def project(camera, points: np.ndarray) -> np.ndarray:
    """World points [N,3] to pixels [N,2] by our matrices."""
    scene = bpy.context.scene
    K = cameras.intrinsics(cameras.lens_of(camera, scene), cameras.frame_of(scene))
    R, t = cameras.extrinsics(cameras.world_matrix(camera, bpy.context.evaluated_depsgraph_get()))
    seen = (points @ R.T + t) @ K.T
    return seen[:, :2] / seen[:, 2:]


def points_before(camera, rng: np.random.Generator, count: int = 5) -> np.ndarray:
    """World points [N,3] somewhere in front of the camera."""
    local = np.column_stack([rng.uniform(-1, 1, (count, 2)), rng.uniform(-6, -2, count)])
    matrix = np.array(camera.matrix_world.normalized())
    return local @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("seed", range(40))
def test_projection_equals_blenders_own(camera, seed):
    rng = np.random.default_rng(seed)
    configure(camera, rng)
    points = points_before(camera, rng)
    frame = cameras.frame_of(bpy.context.scene)
    render = bpy.context.scene.render
    window = camera.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(),
        x=frame.width,
        y=frame.height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    view = np.array(camera.matrix_world.normalized().inverted())
    clip = np.column_stack([points, np.ones(len(points))]) @ (np.array(window) @ view).T
    expected = (clip[:, :2] / clip[:, 3:] * [1, -1] + 1) / 2 * [frame.width, frame.height]
    np.testing.assert_allclose(project(camera, points), expected, atol=0.003 * max(1, frame.width / 1000))


RENDERS = {
    "landscape, shifted": dict(size=(160, 90), sensor_fit="AUTO", shift=(0.15, -0.1), aspect=(1, 1)),
    "portrait, shifted": dict(size=(90, 150), sensor_fit="AUTO", shift=(-0.1, 0.2), aspect=(1, 1)),
    "fitted to the height": dict(size=(150, 90), sensor_fit="VERTICAL", shift=(0.1, 0.15), aspect=(1, 1)),
    "high pixels": dict(size=(160, 60), sensor_fit="AUTO", shift=(0.1, 0.1), aspect=(1, 2)),
    "wide pixels make it portrait no more": dict(size=(80, 120), sensor_fit="AUTO", shift=(0.05, -0.1), aspect=(2, 1)),
}


@pytest.mark.parametrize("case", RENDERS.values(), ids=RENDERS.keys())
def test_projection_equals_rendered_pixels(camera, case, tmp_path):
    scene = bpy.context.scene
    data, render = camera.data, scene.render
    data.lens, data.sensor_fit = 40.0, case["sensor_fit"]
    data.shift_x, data.shift_y = case["shift"]
    render.resolution_x, render.resolution_y = case["size"]
    render.pixel_aspect_x, render.pixel_aspect_y = case["aspect"]
    camera.location, camera.rotation_euler = (1, -2, 0.5), Euler((1.3, 0.2, 0.4))
    bpy.context.view_layer.update()
    K = cameras.intrinsics(cameras.lens_of(camera, scene), cameras.frame_of(scene))
    R, t = cameras.extrinsics(np.array(camera.matrix_world))
    # Markers where we say that a quarter and four fifths of the picture are.
    wanted = np.array([[0.25, 0.3], [0.8, 0.25], [0.3, 0.75]]) * case["size"]
    rays = np.column_stack([wanted, np.ones(3)]) @ np.linalg.inv(K).T
    for centre in (rays * 5 - t) @ R:
        add_marker(centre, radius=0.03)
    picture = render_picture(tmp_path / "render.exr")
    for x, y in wanted:
        left, top = int(x) - 7, int(y) - 7
        window = picture[top : top + 15, left : left + 15]
        rows, columns = np.mgrid[top : top + 15, left : left + 15] + 0.5
        assert window.sum() > 0
        found = np.array([(window * columns).sum(), (window * rows).sum()]) / window.sum()
        np.testing.assert_allclose(found, [x, y], atol=0.08)


@pytest.mark.parametrize("seed", range(10))
def test_camera_from_k_has_that_k_and_that_pose(seed):
    rng = np.random.default_rng(seed)
    width, height = rng.integers(200, 2000, 2).tolist()
    fx = rng.uniform(300, 3000)
    fy = fx * (1.0 if seed < 7 else rng.uniform(0.6, 1.6))
    K = np.array([[fx, 0, width * rng.uniform(0.3, 0.7)], [0, fy, height * rng.uniform(0.3, 0.7)], [0, 0, 1]])
    pose = Matrix.LocRotScale(rng.normal(size=3), Euler(rng.uniform(-3, 3, 3)), None)
    R, t = cameras.extrinsics(np.array(pose))
    np.testing.assert_allclose(cameras.camera_matrix_world(R, t), np.array(pose), atol=1e-6)
    made, frame = cameras.create_camera("made", K, width, height)
    scene = bpy.context.scene
    scene.collection.objects.link(made)
    cameras.set_frame(scene, frame)
    again = cameras.intrinsics(cameras.lens_of(made, scene), cameras.frame_of(scene))
    np.testing.assert_allclose(again, K, rtol=1e-5)


def test_lens_of_a_made_camera_is_measured_on_the_longer_side():
    K = np.array([[1000.0, 0, 300], [0, 1000, 500], [0, 0, 1]])
    lens, _ = cameras.lens_from_intrinsics(K, 600, 1000)
    assert lens.focal_mm == pytest.approx(36.0)


@pytest.mark.parametrize("kind", ["ORTHO", "PANO"])
def test_camera_without_k_is_refused_by_name(camera, kind):
    camera.data.type = kind
    with pytest.raises(SourceError, match="“cam” is .* a perspective camera is needed"):
        cameras.lens_of(camera, bpy.context.scene)


def test_border_render_is_refused(camera):
    bpy.context.scene.render.use_border = True
    with pytest.raises(SourceError, match="Render Region"):
        cameras.lens_of(camera, bpy.context.scene)


# ------------------------------------------------------------------------------------------- background images


def image_points_in_view(camera, placement: Placement, width: int, height: int, points: np.ndarray) -> np.ndarray:
    """Image pixels [N,2] on the camera's view plane [N,3], by the matrices with which Blender draws the image."""
    corners = [np.array(corner) for corner in camera.data.view_frame(scene=bpy.context.scene)]
    frame_width, frame_height = abs(corners[0][0] - corners[3][0]), abs(corners[0][1] - corners[1][1])
    frame_aspect, image_aspect = frame_width / frame_height, width / height
    size_x, size_y = frame_width, frame_height
    if (
        placement.method == "CROP"
        and image_aspect > frame_aspect
        or placement.method == "FIT"
        and image_aspect <= frame_aspect
    ):
        size_x = frame_height * image_aspect
    elif placement.method != "STRETCH":
        size_y = frame_width / image_aspect
    scale = np.diag([size_x / 2 * placement.scale, size_y / 2 * placement.scale])
    scale = scale @ np.diag([-1 if placement.flip_x else 1, -1 if placement.flip_y else 1])
    angle = -placement.rotation
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    offset = np.array(placement.offset)
    offset[0] *= min(1, frame_aspect)
    offset[1] /= max(1, frame_aspect) * (image_aspect / frame_aspect)
    offset += (corners[0] + corners[2])[:2] / 2
    quad = (points / [width, height] * 2 - 1) * [1, -1]
    return np.column_stack([quad @ (turn @ scale).T + offset, np.full(len(points), corners[0][2])])


@pytest.mark.parametrize("seed", range(30))
def test_image_pixels_are_seen_where_blender_draws_them(camera, seed):
    rng = np.random.default_rng(seed)
    configure(camera, rng)
    bpy.context.scene.render.resolution_percentage = 100  # which Blender ignores when it draws
    width, height = rng.integers(100, 2000, 2).tolist()
    placement = Placement(
        method=str(rng.choice(["STRETCH", "FIT", "CROP"])),
        scale=rng.uniform(0.5, 2),
        offset=tuple(rng.uniform(-0.5, 0.5, 2)),
        rotation=rng.uniform(-1, 1) if seed % 2 else 0.0,
        flip_x=bool(rng.integers(2)),
        flip_y=bool(rng.integers(2)),
    )
    points = rng.uniform(0, 1, (6, 2)) * [width, height]
    scene = bpy.context.scene
    seen = cameras.image_camera(cameras.lens_of(camera, scene), cameras.frame_of(scene), placement, width, height)
    on_plane = image_points_in_view(camera, placement, width, height, points) * [1, -1, -1]
    projected = on_plane @ seen.turn.T @ seen.K.T
    projected = projected[:, :2] / projected[:, 2:]
    if seen.flip_x:
        projected[:, 0] = width - projected[:, 0]
    if seen.flip_y:
        projected[:, 1] = height - projected[:, 1]
    np.testing.assert_allclose(projected, points, atol=2e-3 * max(width, height) / 1000)


def test_image_that_fills_the_frame_has_the_cameras_own_k():
    lens, frame = Lens(35.0, shift_x=0.1, shift_y=-0.2), Frame(1600, 900)
    for method in ("STRETCH", "FIT", "CROP"):
        seen = cameras.image_camera(lens, frame, Placement(method), 1600, 900)
        np.testing.assert_allclose(seen.K, cameras.intrinsics(lens, frame), atol=1e-9)
    half = cameras.image_camera(lens, frame, Placement(), 800, 450)
    np.testing.assert_allclose(half.K[:2], cameras.intrinsics(lens, frame)[:2] / 2, atol=1e-9)


def add_background(camera, image, **settings):
    background = camera.data.background_images.new()
    background.image = image
    for name, value in settings.items():
        setattr(background, name, value)
    return background


def camera_source(tmp_path):
    return sources.camera_source(bpy.context.scene, bpy.context.evaluated_depsgraph_get(), tmp_path)


def test_camera_without_background_is_refused(camera, tmp_path):
    with pytest.raises(SourceError, match="Camera “cam” has no background image"):
        camera_source(tmp_path)


def test_hidden_background_does_not_count(camera, photo, tmp_path):
    add_background(camera, bpy.data.images.load(str(photo)), show_background_image=False)
    with pytest.raises(SourceError, match="has no background image"):
        camera_source(tmp_path)


def test_mirrored_background_is_handed_over_mirrored(camera, tmp_path):
    image = bpy.data.images.new("painted", 32, 16)
    pixels = np.zeros((16, 32, 4), dtype=np.float32)
    pixels[..., 3] = 1
    pixels[2, 5, 0] = 1
    image.pixels.foreach_set(pixels.ravel())
    add_background(camera, image, use_flip_x=True)
    before = len(bpy.data.images)
    source = camera_source(tmp_path)
    assert len(bpy.data.images) == before
    copy = images.pixels_of(bpy.data.images.load(str(source.picture)))
    np.testing.assert_allclose(copy[..., 0], pixels[:, ::-1, 0])


def test_packed_image_is_written_out_as_it_is(camera, photo, tmp_path):
    image = bpy.data.images.load(str(photo))
    image.pack()
    content = photo.read_bytes()
    photo.unlink()
    add_background(camera, image)
    assert camera_source(tmp_path).picture.read_bytes() == content


def test_missing_image_file_is_named(camera, photo, tmp_path):
    add_background(camera, bpy.data.images.load(str(photo)))
    photo.unlink()
    with pytest.raises(SourceError, match="The file of image “a photo.png” is missing"):
        camera_source(tmp_path)


def test_camera_is_read_at_the_current_frame_with_its_parent(camera, photo, tmp_path):
    add_background(camera, bpy.data.images.load(str(photo)))
    dolly = bpy.data.objects.new("dolly", None)
    bpy.context.scene.collection.objects.link(dolly)
    camera.parent = dolly
    dolly.keyframe_insert("location", frame=1)
    dolly.location.x = 10
    dolly.keyframe_insert("location", frame=11)
    bpy.context.scene.frame_set(11)
    np.testing.assert_allclose(camera_source(tmp_path).camera_to_world[:3, 3], [10, 0, 0], atol=1e-5)
