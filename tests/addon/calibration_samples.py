# SPDX-License-Identifier: GPL-3.0-or-later
"""One imaginary rig, written in the words of each program, and where its cameras see points, by the same numbers."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mathutils import Matrix, Quaternion, Vector


@dataclass(frozen=True)
class Sample:
    """A camera as OpenCV would have calibrated it: pixels from the centre of the first one, metres, Z up."""

    name: str
    size: tuple[int, int]
    focal: tuple[float, float]
    centre: tuple[float, float]
    place: tuple[float, float, float]
    aim: tuple[float, float, float] = (0.0, 0.0, 1.0)
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0)
    roll: float = field(default=0.0)

    @property
    def rotation(self) -> Matrix:
        """World to camera."""
        forward = (Vector(self.aim) - Vector(self.place)).normalized()
        right = forward.cross(Vector((0, 0, 1))).normalized()
        R = Matrix((right, forward.cross(right), forward))
        return Matrix.Rotation(self.roll, 3, "Z") @ R

    @property
    def vector(self) -> list[float]:
        """The rotation as a vector."""
        axis, angle = self.rotation.to_quaternion().to_axis_angle()
        return [angle * value for value in axis]

    @property
    def quaternion(self) -> Quaternion:
        return self.rotation.to_quaternion()

    @property
    def translation(self) -> list[float]:
        return list(-(self.rotation @ Vector(self.place)))

    @property
    def matrix(self) -> list[list[float]]:
        return [[self.focal[0], 0.0, self.centre[0]], [0.0, self.focal[1], self.centre[1]], [0.0, 0.0, 1.0]]

    def sees(self, point: tuple[float, float, float]) -> np.ndarray:
        """Pixel [2] of a world point, from the corner of the first pixel, through a lens that does not bend."""
        x, y, z = self.rotation @ (Vector(point) - Vector(self.place))
        return np.array([x / z * self.focal[0] + self.centre[0], y / z * self.focal[1] + self.centre[1]]) + 0.5


RIG = (
    Sample("left", (640, 480), (610.0, 613.0), (322.5, 236.0), (-3.0, -2.5, 1.7), (0, 0, 1), (-0.1, 0.02, 1e-3, -2e-3)),
    Sample("middle", (640, 480), (598.0, 598.0), (310.0, 249.5), (0.3, -4.0, 1.2), (0.1, 0.0, 0.9)),
    Sample("right", (480, 640), (700.0, 695.0), (245.0, 315.0), (3.2, -2.0, 2.1), (0, 0, 0.8), roll=0.1),
)
POINTS = ((0.0, 0.0, 0.0), (0.3, -0.2, 1.6), (-0.4, 0.5, 0.7), (0.1, 0.1, 1.1))


def rig_toml(rig=RIG, *, millimetres: bool = False, freemocap: bool = False) -> str:
    """Pose2Sim's file, or Anipose's or FreeMoCap's with its five coefficients and trailing commas."""
    text = ""
    for sample in rig:
        scale = 1000.0 if millimetres else 1.0
        t = [value * scale for value in sample.translation]
        k = list(sample.distortion) + [0.0] * (5 - len(sample.distortion))
        text += f'[cam_{sample.name}]\nname = "{sample.name}"\n'
        if millimetres:
            rows = ", ".join(f"[ {a!r}, {b!r}, {c!r},]" for a, b, c in sample.matrix)
            text += f"size = [ {sample.size[0]}, {sample.size[1]},]\nmatrix = [ {rows},]\ndistortions = {k}\n"
        else:
            text += f"size = [ {sample.size[0]}.0, {sample.size[1]}.0]\nmatrix = {sample.matrix}\n"
            text += f"distortions = {k[:4]}\nfisheye = false\n"
        text += f"rotation = {sample.vector}\ntranslation = {t}\n"
        if freemocap:
            text += f"world_position = {[value * scale for value in sample.place]}\n"
        text += "\n"
    extra = "charuco_square_size = 39.0\ngroundplane_calibration = true\n" if freemocap else ""
    return f"{text}[metadata]\nadjusted = false\nerror = 0.0\n{extra}"


def opencv_matrix(key: str, values, rows: int, columns: int) -> str:
    """As OpenCV's FileStorage breaks the lines."""
    flat = [f"{value:.16e}" for value in np.ravel(values)]
    lines = ",\n       ".join(", ".join(flat[start : start + 3]) for start in range(0, len(flat), 3))
    return f"{key}: !!opencv-matrix\n   rows: {rows}\n   cols: {columns}\n   dt: d\n   data: [ {lines} ]\n"


def write_easymocap(folder: Path, rig=RIG, *, sizes: bool = True) -> Path:
    """The folder's intri.yml and extri.yml; returns the first."""
    names = "names:\n" + "".join(f'   - "{sample.name}"\n' for sample in rig)
    intri = extri = f"%YAML:1.0\n---\n{names}"
    for sample in rig:
        intri += opencv_matrix(f"K_{sample.name}", sample.matrix, 3, 3)
        intri += opencv_matrix(f"dist_{sample.name}", (sample.distortion + (0.0,) * 5)[:5], 1, 5)
        if sizes:
            intri += f"H_{sample.name}: {sample.size[1]}\nW_{sample.name}: {sample.size[0]}\n"
        extri += opencv_matrix(f"R_{sample.name}", sample.vector, 3, 1)
        extri += opencv_matrix(f"Rot_{sample.name}", sample.rotation, 3, 3)
        extri += opencv_matrix(f"T_{sample.name}", sample.translation, 3, 1)
    (folder / "intri.yml").write_text(intri)
    (folder / "extri.yml").write_text(extri)
    return folder / "intri.yml"


def opencv_camera(sample: Sample) -> str:
    """A file with one camera, as OpenCV's calibration sample writes it, and its pose."""
    return (
        '%YAML:1.0\n---\ncalibration_time: "Sun 22 Nov 2026 12:00:00 PM"\n# a comment\n'
        f"image_width: {sample.size[0]}\nimage_height: {sample.size[1]}\n"
        + opencv_matrix("camera_matrix", sample.matrix, 3, 3)
        + opencv_matrix("distortion_coefficients", (sample.distortion + (0.0,) * 5)[:5], 5, 1)
        + "avg_reprojection_error: 1.2\n"
        + opencv_matrix("rvec", sample.vector, 3, 1)
        + opencv_matrix("tvec", sample.translation, 3, 1)
    )


def opencv_json(sample: Sample) -> str:
    """The same file as OpenCV writes it for a name that ends in .json, with a number that is none."""

    def matrix(values, rows: int, columns: int) -> dict[str, object]:
        flat = [float(value) for value in np.ravel(values)]
        return {"type_id": "opencv-matrix", "rows": rows, "cols": columns, "dt": "d", "data": flat}

    content = {
        "image_width": sample.size[0],
        "image_height": sample.size[1],
        "camera_matrix": matrix(sample.matrix, 3, 3),
        "distortion_coefficients": matrix((sample.distortion + (0.0,) * 5)[:5], 1, 5),
        "rvec": matrix(sample.vector, 3, 1),
        "tvec": matrix(sample.translation, 3, 1),
        "fisheye": False,
    }
    return json.dumps(content, indent=4)[:-2] + ',\n    "avg_reprojection_error": .Nan\n}\n'


def opencv_xml(sample: Sample) -> str:
    """The same file as OpenCV writes it for a name that ends in .xml."""

    def matrix(key: str, values, rows: int, columns: int) -> str:
        data = "\n    ".join(f"{float(value)!r}" for value in np.ravel(values))
        shape = f"<rows>{rows}</rows>\n  <cols>{columns}</cols>\n  <dt>d</dt>"
        return f'<{key} type_id="opencv-matrix">\n  {shape}\n  <data>\n    {data}</data></{key}>\n'

    return (
        '<?xml version="1.0"?>\n<opencv_storage>\n<calibration_time>"Sun 22 Nov 2026"</calibration_time>\n'
        f"<image_size>\n  {sample.size[0]} {sample.size[1]}</image_size>\n"
        + matrix("camera_matrix", sample.matrix, 3, 3)
        + matrix("distortion_coefficients", (sample.distortion + (0.0,) * 5)[:5], 1, 5)
        + matrix("rvec", sample.vector, 3, 1)
        + matrix("tvec", sample.translation, 3, 1)
        + "<names>\n  <_>a</_>\n  <_>b</_></names>\n</opencv_storage>\n"
    )


def write_opencv_pair(folder: Path, first: Sample, second: Sample) -> Path:
    """intrinsics.yml and extrinsics.yml as OpenCV's stereo sample writes them; the first camera is the world."""
    between = second.rotation @ first.rotation.transposed()
    shift = Vector(second.translation) - between @ Vector(first.translation)
    (folder / "intrinsics.yml").write_text(
        "%YAML:1.0\n---\n"
        + opencv_matrix("M1", first.matrix, 3, 3)
        + opencv_matrix("D1", (first.distortion + (0.0,) * 5)[:5], 1, 5)
        + opencv_matrix("M2", second.matrix, 3, 3)
        + opencv_matrix("D2", (second.distortion + (0.0,) * 5)[:5], 1, 5)
    )
    (folder / "extrinsics.yml").write_text(
        "%YAML:1.0\n---\n"
        + opencv_matrix("R", between, 3, 3)
        + opencv_matrix("T", shift, 3, 1)
        + opencv_matrix("R1", np.eye(3), 3, 3)
        + opencv_matrix("R2", np.eye(3), 3, 3)
    )
    return folder / "intrinsics.yml"


def colmap_lens(sample: Sample) -> tuple[str, list[float]]:
    """A model and its parameters; COLMAP counts from the corner."""
    fx, fy = sample.focal
    cx, cy = sample.centre[0] + 0.5, sample.centre[1] + 0.5
    if any(sample.distortion):
        return "OPENCV", [fx, fy, cx, cy, *sample.distortion[:4]]
    return ("SIMPLE_PINHOLE", [fx, cx, cy]) if fx == fy else ("PINHOLE", [fx, fy, cx, cy])


COLMAP_NUMBERS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "OPENCV": 4}


def write_colmap(folder: Path, rig=RIG, *, binary: bool) -> Path:
    """cameras and images, each picture called frames/NAME.jpg; returns the file of the cameras."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = [(*sample.quaternion, *sample.translation) for sample in rig]
    if binary:
        cameras, images = struct.pack("<Q", len(rig)), struct.pack("<Q", len(rig))
        for index, (sample, pose) in enumerate(zip(rig, poses, strict=True)):
            model, values = colmap_lens(sample)
            cameras += struct.pack("<iiQQ", index + 7, COLMAP_NUMBERS[model], *sample.size)
            cameras += struct.pack(f"<{len(values)}d", *values)
            images += struct.pack("<i7di", index + 1, *pose, index + 7) + f"frames/{sample.name}.jpg".encode() + b"\0"
            images += struct.pack("<Q", 2) + struct.pack("<ddqddq", 1.0, 2.0, -1, 3.0, 4.0, 5)
        (folder / "cameras.bin").write_bytes(cameras)
        (folder / "images.bin").write_bytes(images)
        return folder / "cameras.bin"
    cameras = "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
    images = "# Image list with two lines of data per image:\n"
    for index, (sample, pose) in enumerate(zip(rig, poses, strict=True)):
        model, values = colmap_lens(sample)
        cameras += f"{index + 7} {model} {sample.size[0]} {sample.size[1]} {' '.join(map(repr, values))}\n"
        images += f"{index + 1} {' '.join(map(repr, pose))} {index + 7} frames/{sample.name}.jpg\n"
        images += "1.0 2.0 -1 3.0 4.0 5\n" if index else "\n"
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder / "cameras.txt"


def nerfstudio_frames(rig=RIG) -> dict[str, object]:
    """What transforms.json says: cameras look along -Z, Y up, and pixels are counted from the corner."""
    frames = []
    for sample in rig:
        turn = np.array(sample.rotation).T @ np.diag([1.0, -1.0, -1.0])
        pose = np.vstack([np.column_stack([turn, sample.place]), [0, 0, 0, 1]])
        lens = {"fl_x": sample.focal[0], "fl_y": sample.focal[1], "w": sample.size[0], "h": sample.size[1]}
        lens |= {"cx": sample.centre[0] + 0.5, "cy": sample.centre[1] + 0.5}
        lens |= dict(zip(("k1", "k2", "p1", "p2"), sample.distortion, strict=False))
        frames.append({"file_path": f"./images/{sample.name}.png", "transform_matrix": pose.tolist(), **lens})
    return {"camera_model": "OPENCV", "applied_transform": np.eye(4)[:3].tolist(), "frames": frames}
