# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies that were taken apart by hand: everything that reads one gives a sensible answer or one sentence."""

from contextlib import contextmanager
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from blender_helpers import scene_state

from refit_blender import api, panels, panels_cameras, panels_confidence, panels_rig, panels_upright
from refit_blender.errors import RefitError
from refit_blender.scene import body as bodies
from refit_blender.scene import reconstructions, upright


class Layout:
    """Takes whatever a panel draws; properties must be there."""

    def __getattr__(self, name):
        return lambda *_, **__: Layout()

    def prop(self, owner, name, **_):
        getattr(owner, name)


def draw_panels() -> None:
    """Draw every panel about the active body, as the sidebar would."""
    context = bpy.context
    for module in (panels, panels_cameras, panels_confidence, panels_rig, panels_upright):
        for panel in vars(module).values():
            if not (isinstance(panel, type) and issubclass(panel, bpy.types.Panel)) or panel is panels.REFIT_PT_main:
                continue
            if not hasattr(panel, "poll") or panel.poll(context):
                panel.draw(SimpleNamespace(layout=Layout()), context)


@contextmanager
def one_sentence():
    """Allows the operator's refusal, and nothing else."""
    try:
        yield
    except RuntimeError as refusal:
        text = str(refusal)
        assert "Traceback" not in text and text.strip().endswith((".", "failed, context is incorrect"))


def use_bodies() -> None:
    """Every operator, panel and function that reads a body."""
    bpy.context.view_layer.update()
    for item in bpy.context.view_layer.objects[:]:
        bpy.context.view_layer.objects.active = item
        draw_panels()
    for call in (
        bpy.ops.refit.joints_to_shape,
        bpy.ops.refit.toggle_correctives,
        bpy.ops.refit.look_through,
        bpy.ops.refit.confidence_colors,
        bpy.ops.refit.confidence_colors,
        bpy.ops.refit.reset_upright,
        bpy.ops.refit.add_ik,
        bpy.ops.refit.remove_ik,
        bpy.ops.refit.convert_rig,
        bpy.ops.refit.reconstruct,
    ):
        if call.poll():
            with one_sentence():
                call()
    for known in reconstructions.in_scene(bpy.context.scene):
        known.collection.refit.pitch += 0.1
        upright.set_by_hand(known)


def delete_key(body):
    body.mesh.shape_key_remove(body.mesh.data.shape_keys.key_blocks["shape_9"])


def delete_first_key(body):
    body.mesh.shape_key_remove(body.mesh.data.shape_keys.key_blocks["shape_0"])


def apply_all(body):
    body.mesh.shape_key_clear()
    bpy.context.view_layer.objects.active = body.mesh
    bpy.ops.object.modifier_apply(modifier="Armature")


def rename_bone(body):
    body.rig.data.bones["shin.L"].name = "Knee.L"


def rename_root(body):
    body.rig.data.bones["pelvis"].name = "Hips"


def delete_root(body):
    bpy.context.view_layer.objects.active = body.rig
    bpy.ops.object.mode_set(mode="EDIT")
    body.rig.data.edit_bones.remove(body.rig.data.edit_bones["root"])
    bpy.ops.object.mode_set(mode="OBJECT")


def delete_mesh(body):
    bpy.data.objects.remove(body.mesh)


def delete_rig(body):
    bpy.data.objects.remove(body.rig)


def unlink_rig(body):
    """As X in the viewport does."""
    for collection in body.rig.users_collection:
        collection.objects.unlink(body.rig)


def delete_camera(body):
    bpy.data.objects.remove(body.rig["refit_camera"])


def join_meshes(body):
    cloth = body.mesh.copy()
    cloth.data = body.mesh.data.copy()
    body.mesh.users_collection[0].objects.link(cloth)
    cloth.shape_key_clear()
    with bpy.context.temp_override(active_object=body.mesh, selected_editable_objects=[body.mesh, cloth]):
        bpy.ops.object.join()


def give_other_child(body):
    """Clothes with a shape key of the same name come first in the list of children."""
    cloth = bpy.data.objects.new("a cloth", bpy.data.meshes.new("cloth"))
    cloth.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    bpy.context.scene.collection.objects.link(cloth)
    cloth.parent = body.rig
    cloth.shape_key_add(name="Basis")
    cloth.shape_key_add(name="shape_0")
    other = bpy.data.objects.new("other rig", bpy.data.armatures.new("other"))
    bpy.context.scene.collection.objects.link(other)
    other.parent = body.rig


def hide(body):
    body.rig.hide_set(True)
    body.mesh.hide_set(True)


def empty_properties(body):
    for name in list(body.rig.keys()):
        if name != "refit_betas":
            del body.rig[name]


def spoil_betas(body):
    body.rig["refit_betas"] = "large"


def delete_collection(body):
    bpy.data.collections.remove(reconstructions.of(body.rig).collection)


HARMS = (
    delete_key, delete_first_key, apply_all, rename_bone, rename_root, delete_root, delete_mesh, delete_rig, unlink_rig,
    delete_camera, join_meshes, give_other_child, hide, empty_properties, spoil_betas, delete_collection,
)  # fmt: skip


@pytest.mark.parametrize("correctives", [False, True])
@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_everything_answers(photo, install_fake, harm, correctives):
    install_fake(correctives=correctives, people=2)
    body = api.reconstruct(photo).outcome.bodies[0]
    name = body.rig.name
    bpy.context.scene.refit.image_path = str(photo)
    harm(body)
    use_bodies()
    bpy.context.scene.frame_set(9)
    with one_sentence():
        bpy.ops.refit.reconstruct()
    try:
        assert len(api.shape_of(name)) == 10
    except RefitError as error:
        assert str(error).endswith(".")


def test_deleted_slider_counts_as_it_was_found(photo, install_fake):
    fake = install_fake()
    body = api.reconstruct(photo).outcome.bodies[0]
    body.mesh.data.shape_keys.key_blocks["shape_3"].value = 1.5
    delete_key(body)
    betas = fake.result["betas"][0].copy()
    betas[3] = 1.5
    np.testing.assert_allclose(api.shape_of(body.rig.name), betas, atol=1e-6)


def test_clothes_are_not_taken_for_the_body(photo, install_fake):
    install_fake()
    body = api.reconstruct(photo).outcome.bodies[0]
    give_other_child(body)
    assert bodies.body_mesh(body.rig) == body.mesh


def test_renamed_bone_is_named(photo, install_fake):
    install_fake()
    body = api.reconstruct(photo).outcome.bodies[0]
    rename_bone(body)
    with pytest.raises(RuntimeError, match="has no bone “shin.L”: it was renamed or deleted."):
        bpy.ops.refit.joints_to_shape()


def test_hidden_body_is_named_and_nothing_changes(photo, install_fake):
    install_fake()
    body = api.reconstruct(photo).outcome.bodies[0]
    hide(body)
    before = scene_state()
    with pytest.raises(RefitError, match="is hidden: show it"):
        api.reconstruct(photo, update=True)
    assert scene_state() == before
