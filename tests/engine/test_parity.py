# SPDX-License-Identifier: GPL-3.0-or-later
"""Our network against numbers of the published implementation, with weights made by a rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity_rules import fake_smpl, fill_by_rule, published_tensors, reference
from refit_engine.body import BodyModel, load_body
from refit_engine.network import CropCamera, ReFit, refit
from refit_engine.network.flip import flip_average, mirror_camera
from refit_engine.network.geometry import bbox_features, project, project_to_crop, translation
from refit_engine.network.keypoints import dense_ids, keypoint_points
from refit_engine.network.lookup import lookup, window_offsets

TOLERANCE = 1e-5


def close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = TOLERANCE, rtol: float = 0.0) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=rtol)


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(value)) for name, value in reference().items()}


@pytest.fixture(scope="module")
def camera(published) -> CropCamera:
    return CropCamera(
        published["in_center"], 200 * published["in_scale"], published["in_img_focal"], published["in_img_center"]
    )


@pytest.fixture(scope="module")
def model() -> ReFit:
    model = ReFit().eval()
    fill_by_rule(model, reference())
    return model


@pytest.fixture(scope="module")
def body_data(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "SMPL_NEUTRAL.npz"
    np.savez(path, **fake_smpl())
    return load_body(path)


@pytest.fixture(scope="module")
def body(body_data) -> BodyModel:
    return BodyModel(body_data)


@pytest.fixture(scope="module")
def run(model, published, camera, body, body_data):
    """Estimates of the whole network, and what its loop saw on the way."""
    seen = {"points": [], "windows": [], "hidden": [], "x": []}

    def spy_lookup(maps, points, offsets):
        windows = lookup(maps, points, offsets)
        seen["points"].append(points)
        seen["windows"].append(windows)
        return windows

    step = refit.FusedGRU.step

    def spy_step(gru, hidden, x):
        hidden = step(gru, hidden, x)
        seen["hidden"].append(hidden.transpose(0, 1))
        seen["x"].append(x)
        return hidden

    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(model, "lookup", spy_lookup)
        patch.setattr(refit.FusedGRU, "step", spy_step)
        output = model.backbone.trunk(published["in_img"])
        encoding = model.encode_features(output)
        estimates = model.refine(encoding, camera, keypoint_points(body, body_data, "markers67"))
    return output, encoding, estimates, {name: torch.stack(values) for name, values in seen.items()}


def test_tensors_have_the_published_names_and_shapes(model):
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    aliases = "backbone.downsamples."
    theirs = {n: s for n, s in published_tensors().items() if not n.startswith(("smpl.", aliases))}
    assert ours == theirs


def test_backbone_output(run, published):
    output = run[0]
    spread = published["feature_meanstd"][1].item()  # the fake weights give large values: compare to their size
    close(output.features[:, ::24, ::8, ::8], published["feature_sub"], atol=TOLERANCE * spread)
    close(torch.stack([output.features.mean(), output.features.std()]), published["feature_meanstd"], rtol=TOLERANCE)
    close(output.vector, published["z"], atol=TOLERANCE * spread)


def test_keypoint_maps(run, published):
    close(run[1].keypoint_maps[..., ::8, ::8], published["corr_sub"])


def test_every_estimate(run, published):
    estimates = run[2]
    close(torch.stack([e.rotmats() for e in estimates]), published["pred_rotmat"])
    close(torch.stack([e.betas for e in estimates]), published["pred_shape"])
    close(torch.stack([e.cam for e in estimates]), published["pred_cam"])


def test_what_the_loop_sees_in_every_iteration(run, published, model):
    seen = run[3]
    close(seen["points"], published["iter_p2d_coords"], rtol=1e-6)
    close(seen["windows"], published["iter_loc_window"])
    flow = torch.einsum("tbkw,kow->tbko", seen["windows"], model.flow_layer.weight) + model.flow_layer.bias
    close(flow, published["iter_flow"])
    close(seen["x"][..., :256], published["iter_local"])


def test_hidden_state_of_every_iteration(run, published):
    hidden = run[3]["hidden"]
    close(hidden[:, :, :24], published["iter_hpose"])
    close(hidden[:, :, 24], published["iter_hshape"])
    close(hidden[:, :, 25], published["iter_hcam"])


def test_final_body(run, published, camera, body):
    final = run[2][-1]
    close(final.pose6d, published["out_pred_pose"])
    close(final.rotmats(), published["out_pred_rotmat"])
    close(final.betas, published["out_pred_shape"])
    close(final.cam, published["out_pred_cam"])
    close(final.translation(camera)[:, None], published["out_trans_full"])
    vertices = body(final.betas, final.rotmats()).vertices
    close(vertices[:, ::53], published["out_vertices_sub"])


def test_average_with_the_mirrored_crop(run, model, published, camera, body, body_data):
    points = keypoint_points(body, body_data, "markers67")
    with torch.inference_mode():
        encoding = model.encode_features(model.backbone.trunk(published["in_img"].flip(-1)))
        mirrored = model.refine(encoding, mirror_camera(camera), points)[-1]
    average = flip_average(run[2][-1], mirrored)

    close(average.betas, published["flip_out_pred_shape"])
    # The published code mirrors by way of quaternions whose components are square roots of differences. Where a
    # component is nearly zero, its own rounding is amplified; everywhere else it agrees as all the rest does.
    error = (average.rotmats() - published["flip_out_pred_rotmat"]).abs().amax(dim=(2, 3))
    assert (error > TOLERANCE).sum() <= 1
    assert error.max() < 3e-5


def test_lookup_of_windows(published):
    random = np.random.RandomState(int(published["lk_corr_seed"]))
    maps = torch.from_numpy(random.randn(2, 67, 64, 64).astype(np.float32))
    close(lookup(maps, published["lk_coords"], window_offsets(3)), published["lk_out"])


def test_camera_and_projection(published, camera):
    points, cam = published["pj_points"], published["pj_cam"]
    close(bbox_features(camera), published["pj_bbox"])
    close(bbox_features(camera), published["bbox_info"])
    close(translation(cam, camera)[:, None], published["pj_trans"])
    close(project(points, cam, camera), published["pj_full"], rtol=1e-6)
    close(project_to_crop(points, cam, camera), published["pj_crop"], rtol=1e-6)


def test_point_sets_of_the_smpl_mesh_are_the_published_ones(body_data, published):
    np.testing.assert_array_equal(body_data.marker_ids, published["marker_vertex_ids"])
    np.testing.assert_array_equal(dense_ids(body_data), published["dense_vertex_ids"])
