# SPDX-License-Identifier: GPL-3.0-or-later
"""The synthetic people renderer: pixels where they belong, bindings that hold, seeds that repeat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

moderngl = pytest.importorskip("moderngl", reason="the training extra (moderngl) is not installed")

from refit_training.render import AssetPack, PeopleRenderer, PosedPerson, random_appearance, random_background
from refit_training.render.appearance import Cloth, Cut, Outfit
from refit_training.render.background import BackgroundSpec
from refit_training.render.decimate import decimate
from refit_training.render.dress import clip_mesh, dress
from refit_training.render.effects import black_outside, camera_effects
from refit_training.render.geometry import VertexNormals, bind_to_surface
from refit_training.render.makehuman import read_garment
from refit_training.render.pack import Attachment, Surface, encode_image
from refit_training.render.panorama import Light, decode_radiance, directions, encode_radiance, light_of, sh_basis

CAMERA_FROM_WORLD = np.diag([1.0, -1.0, -1.0])


def ball(rings: int = 12, sectors: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """A closed unit sphere, faces counter-clockwise from outside."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.arange(sectors) * 2 * np.pi / sectors
    middle = [[np.sin(t) * np.sin(a), np.cos(t), np.sin(t) * np.cos(a)] for t in polar for a in around]
    points = np.array([[0, 1, 0], *middle, [0, -1, 0]], float)
    last = len(points) - 1
    faces = []
    for s in range(sectors):
        e = (s + 1) % sectors
        faces.append([0, 1 + s, 1 + e])
        for r in range(rings - 2):
            a, b = 1 + r * sectors, 1 + (r + 1) * sectors
            faces += [[a + s, b + s, b + e], [a + s, b + e, a + e]]
        faces.append([last, 1 + (rings - 2) * sectors + e, 1 + (rings - 2) * sectors + s])
    return points, np.array(faces)


def ball_pack() -> AssetPack:
    """A pack whose body is a ball of 20 cm radius with white skin, a shell to wear and one panorama."""
    points, faces = ball()
    points = 0.2 * points
    surface = Surface(
        np.arange(len(points)), np.full((len(points), 2), 0.5, np.float32), points, np.ones(len(points)), faces
    )
    shell = 1.1 * points
    binding = bind_to_surface(shell, points, faces, VertexNormals(faces, len(points))(points))
    worn = Attachment(
        "shell",
        "shoes",
        "any",
        binding,
        np.arange(len(shell)),
        surface.uv,
        shell,
        surface.shade,
        faces,
        np.array([0, 1]),
        "",
        False,
    )
    joints = np.zeros((24, 3))
    joints[:, 1] = np.linspace(-0.2, 0.2, 24)
    joints[[7, 8, 4, 5, 1, 2, 3, 12], 1] = [-0.8, -0.8, -0.4, -0.4, 0, 0, 0.1, 0.5]
    joints[[16, 17, 18, 19, 20, 21], 0] = [0.2, -0.2, 0.4, -0.4, 0.6, -0.6]
    sky = np.full((64, 128, 3), 0.05, np.float32)
    sky[24:27, 68:71] = 5.0
    return AssetPack(
        vertex_count=len(points),
        body_faces=faces,
        template=points,
        joints=joints,
        skin=surface,
        cloth=surface,
        cloth_smoothing=sparse.identity(len(points), format="csr", dtype=np.float32),
        proxy_vertex=np.arange(len(points)),
        proxy_faces=faces,
        head=np.arange(len(points)),
        eyes=np.array([[0.03, 0.6, 0], [-0.03, 0.6, 0]]),
        attachments=(worn,),
        images={
            "skin/white": encode_image(np.full((8, 8, 3), 255, np.uint8)),
            "clothes/grey": encode_image(np.full((8, 8, 3), 128, np.uint8)),
            "panorama/sky": encode_image(encode_radiance(sky), 100),
        },
        lights={"panorama/sky": light_of(sky)},
        sources=("made here",),
    )


@pytest.fixture(scope="module")
def renderer() -> PeopleRenderer:
    try:
        moderngl.create_context(standalone=True, backend="egl").release()
    except Exception as error:  # noqa: BLE001 - moderngl has no exception class of its own
        pytest.skip(f"no OpenGL through EGL on this machine: {error}")
    return PeopleRenderer(ball_pack(), supersample=2)


def person(renderer: PeopleRenderer, centre) -> PosedPerson:
    """The ball at `centre`, unclothed."""
    looks = random_appearance(np.random.default_rng(0), renderer.pack)
    looks = replace(looks, garments=(), attachments=(), scalp=None, beard=0.0, tone=(0.8, 0.8, 0.8))
    upright = renderer.pack.template @ CAMERA_FROM_WORLD.T
    return PosedPerson((upright + np.asarray(centre)).astype(np.float32), looks)


def dark(renderer: PeopleRenderer) -> BackgroundSpec:
    white = Light(np.vstack([np.full((1, 3), 2.0), np.zeros((8, 3))]), np.array([0, 1.0, 0]), np.zeros(3))
    black = np.zeros((4, 4, 3), np.uint8)
    return BackgroundSpec(CAMERA_FROM_WORLD.T, "", black, white, np.ones(3), 1.0, False)


@pytest.mark.parametrize("centre", [(0, 0, 3.0), (0.4, -0.3, 2.0), (-0.5, 0.6, 4.0)])
def test_body_covers_the_pixels_that_its_vertices_project_to(renderer, centre):
    K = np.array([[400.0, 0, 120.0], [0, 390.0, 140.0], [0, 0, 1]])
    subject = person(renderer, centre)
    seen = renderer.draw([subject], K, dark(renderer)).max(-1) > 60
    projected = subject.vertices @ K.T
    pixels = projected[:, :2] / projected[:, 2:]
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    expected = np.concatenate([pixels.min(0), pixels.max(0)])
    np.testing.assert_allclose(drawn, expected, atol=1.0)


def test_nearer_people_hide_those_behind(renderer):
    K = np.array([[400.0, 0, 128.0], [0, 400.0, 128.0], [0, 0, 1]])
    near, far = person(renderer, (0, 0, 2.0)), person(renderer, (0, 0, 3.0))
    far = replace(far, appearance=replace(far.appearance, tone=(0.02, 0.02, 0.02)))
    alone = renderer.draw([near], K, dark(renderer))
    np.testing.assert_array_equal(renderer.draw([far, near], K, dark(renderer)), alone)
    np.testing.assert_array_equal(renderer.draw([near, far], K, dark(renderer)), alone)


@pytest.mark.parametrize("roll", [0.0, 0.6])
def test_panorama_turns_with_the_camera(renderer, roll):
    c, s = np.cos(roll), np.sin(roll)
    camera_from_world = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ CAMERA_FROM_WORLD
    spec = replace(dark(renderer), panorama="panorama/sky", image=None, world_from_camera=camera_from_world.T)
    K = np.array([[100.0, 0, 128.0], [0, 100.0, 128.0], [0, 0, 1]])
    picture = renderer.draw([], K, spec).astype(float).mean(-1)
    rows, columns = np.nonzero(picture > 0.7 * picture.max())
    lamp = directions(64, 128)[24:27, 68:71].mean((0, 1))
    expected = K @ camera_from_world @ lamp
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], expected[:2] / expected[2], atol=2.0)


def test_same_seed_gives_the_same_render(renderer):
    def photo(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        looks = random_appearance(rng, renderer.pack)
        subject = replace(person(renderer, (0, 0, 2.5)), appearance=looks)
        background = random_background(rng, renderer.pack, CAMERA_FROM_WORLD)
        K = np.array([[500.0, 0, 128.0], [0, 500.0, 128.0], [0, 0, 1]])
        return renderer.render([subject], K, background, rng)

    first = photo(3)
    assert first.shape == (256, 256, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, photo(3))
    assert np.abs(first.astype(int) - photo(4)).mean() > 1


def test_camera_effects_are_deterministic_and_keep_the_shape():
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    for seed in range(12):
        first, second = (camera_effects(image, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == image.shape and first.dtype == np.uint8


def test_outside_of_the_photo_is_black():
    image = np.full((64, 64, 3), 200, np.uint8)
    cut = black_outside(image, np.array([[16.0, -9], [999, -9], [999, 99], [16, 99]]))
    assert not cut[:, :15].any()
    assert (cut[:, 18:] == 200).all()


def test_bound_points_lie_where_they_were_and_follow_rigid_motion():
    points, faces = ball()
    normals = VertexNormals(faces, len(points))
    rng = np.random.default_rng(1)
    garment = points[rng.integers(len(points), size=50)] * rng.uniform(0.98, 1.2, (50, 1)) + rng.normal(
        0, 0.02, (50, 3)
    )
    binding = bind_to_surface(garment, points, faces, normals(points))
    np.testing.assert_allclose(binding.apply(points, normals(points)), garment, atol=1e-6)
    assert (binding.weights >= 0).all()
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    moved = points @ turn.T + [1, 2, 3]
    np.testing.assert_allclose(binding.apply(moved, normals(moved)), garment @ turn.T + [1, 2, 3], atol=1e-6)


def test_garment_file_is_fitted_by_its_references_and_scales(tmp_path):
    (tmp_path / "hat.obj").write_text("v 0 0 0\nv 0 0 0\nv 0 0 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n")
    (tmp_path / "hat.mhclo").write_text(
        "# comment\nname hat\nobj_file hat.obj\nx_scale 0 1 2.0\ny_scale 0 2 1.0\nz_scale 0 3 1.0\n"
        "verts 0\nmaterial hat.mhmat\n0 1 2 0.5 0.25 0.25 0.1 0.2 0.3\n3\n1 2 3 0 0 1 0 0 -0.5\n"
        "delete_verts\n0 2 - 3\n"
    )
    base = np.array([[0.0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 0, 1]])
    garment = read_garment(tmp_path / "hat.mhclo")
    np.testing.assert_allclose(garment.fit(base), [[1.2, 0.9, 0.3], [0, 0, 1], [0, 0, 0.5]])
    assert garment.hidden.tolist() == [0, 2, 3]
    assert garment.faces.tolist() == [[0, 1, 2]]


def test_thinned_mesh_keeps_its_shape_and_its_border():
    points, faces = ball(24, 48)
    half = faces[(points[faces][..., 1] > -1e-9).all(1)]
    thin = decimate(points, half, 200, longest_edge=0.6)
    assert len(thin) <= 210
    border = np.flatnonzero(np.abs(points[:, 1]) < 1e-9)
    assert np.isin(border, thin).all()
    centres = points[thin].mean(1)
    assert np.linalg.norm(centres, axis=1).min() > 0.93
    outward = np.cross(points[thin[:, 1]] - points[thin[:, 0]], points[thin[:, 2]] - points[thin[:, 0]])
    assert (np.einsum("fd,fd->f", outward, centres) > 0).all()


def test_even_sky_lights_every_side_alike_and_a_lamp_is_found():
    even = np.full((64, 128, 3), 0.4, np.float32)
    lit = sh_basis(np.eye(3)) @ light_of(even).sh
    np.testing.assert_allclose(lit, 0.4, rtol=0.02)
    even[10:13, 90:93] = 400
    found = light_of(even)
    assert found.sun @ directions(64, 128)[11, 91] > 0.999
    assert found.sun_color.min() > 0.3


def test_radiance_code_keeps_highlights():
    radiance = np.geomspace(0.01, 50, 40)
    np.testing.assert_allclose(decode_radiance(encode_radiance(radiance)), radiance, rtol=0.25)


def test_pack_comes_back_as_it_was_saved(tmp_path):
    pack = ball_pack()
    pack.save(tmp_path / "pack.npz")
    back = AssetPack.load(tmp_path / "pack.npz")
    np.testing.assert_allclose(back.template, pack.template, atol=1e-6)
    np.testing.assert_allclose(back.attachments[0].binding.offsets, pack.attachments[0].binding.offsets, atol=1e-6)
    np.testing.assert_array_equal(back.attachments[0].hidden, [0, 1])
    np.testing.assert_allclose(back.lights["panorama/sky"].sh, pack.lights["panorama/sky"].sh, atol=1e-6)
    assert back.images == pack.images and back.sources == pack.sources
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(ValueError, match="not a render pack"):
        AssetPack.load(tmp_path / "other.npz")


def test_mesh_is_clipped_along_the_zero_of_its_value():
    points, faces = ball()
    kept, part = clip_mesh(points, faces, 0.31 - points[:, 1])
    corners = kept[part]
    assert corners[..., 1].max() == pytest.approx(0.31, abs=1e-9)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    assert areas.sum() == pytest.approx(2 * np.pi * 1.31, rel=0.05)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fd,fd->f", normal, corners.mean(axis=1)) > -1e-12).all()


def test_dressed_person_wears_everything_and_hides_what_is_under_it():
    pack = ball_pack()
    naked = random_appearance(np.random.default_rng(0), pack)
    naked = replace(naked, garments=(), attachments=(), scalp=None)
    shirt = Outfit(Cut(9.0, -9.0, 9.0), Cloth((1.0, 0.0, 0.0)), thickness=0.02)
    skin = {part.texture or part.color: len(part.faces) for part in dress(pack, pack.template, naked)}
    dressed = dress(pack, pack.template, replace(naked, garments=(shirt,), attachments=((0, Cloth((0, 1, 0)), 0.0),)))
    colors = [part.color for part in dressed]
    assert (1.0, 0.0, 0.0) in colors and (0, 1, 0) in colors
    worn = dressed[colors.index((1.0, 0.0, 0.0))]
    radius = np.linalg.norm(worn.vertices[np.unique(worn.faces)], axis=1)
    assert 0.2 < radius.min() < radius.max() < 0.26
    assert sum(len(part.faces) for part in dressed if part.color not in ((1.0, 0.0, 0.0), (0, 1, 0))) < sum(
        skin.values()
    )
