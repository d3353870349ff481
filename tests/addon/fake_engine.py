# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine that speaks the protocol and answers with a prepared result, or misbehaves as it is told.

Usage: fake_engine.py FOLDER. FOLDER holds result.npz (for several cameras views.npz, for videos motion.npz or, for one of them, "motion NAME.npz", for shapes shape.json, for maps sheet.png) and, in the
file behaviour, what to do; what was asked last is written there as request.json, and all of it, line by line, in the file
requests.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

WHOLE = ("image_size", "K", "up_cam", "joint_names")  # of the picture rather than of its people

WRONG_REPLIES = {
    "garbage": b"Segmentation fault is not JSON\n",
    "not_an_object": b"[1, 2]\n",
    "binary": b"\xff\xfe\x00\n",
    "no_result": b'{"jsonrpc": "2.0", "id": 2}\n',
    "error_text": b'{"jsonrpc": "2.0", "id": 2, "error": "x"}\n',
    "error_without_code": b'{"jsonrpc": "2.0", "id": 2, "error": {"message": "m"}}\n',
    "id_is_text": b'{"jsonrpc": "2.0", "id": "2", "result": {}}\n',
    "infinite_progress": b'{"method": "$/progress", "params": {"id": 2, "stage": "fit", "done": 1e999}}\n',
    "deep": b"[" * 100_000 + b"\n",
}


def send(**message) -> None:
    sys.stdout.buffer.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    sys.stdout.buffer.flush()


def receive() -> dict:
    line = sys.stdin.readline()
    if not line:
        sys.exit(0)
    return json.loads(line)


def sleep_until_killed() -> None:
    time.sleep(600)


def initialize(behaviour: str, request: dict) -> None:
    if behaviour == "hang_at_start":
        sleep_until_killed()
    if behaviour == "crash_at_start":
        print("ImportError: no libtorch", file=sys.stderr)
        sys.exit(3)
    if behaviour == "no_engine":
        print(
            "python: Error while finding module specification (ModuleNotFoundError: No module named 'refit_engine')",
            file=sys.stderr,
        )
        sys.exit(1)
    if behaviour == "no_torch":
        error = {"code": -32000, "message": "The engine's Python lacks torch.", "data": {"kind": "PackageMissing"}}
        send(id=request["id"], error=error)
        return
    if behaviour == "refuse":
        send(id=request["id"], error={"code": -32000, "message": "Too old.", "data": {"kind": "ProtocolMismatch"}})
        return
    answer = {"protocol_version": 99 if behaviour == "other_protocol" else 2, "engine_version": "0.1.0"}
    answer |= {"python": "3.11", "torch": "2.0", "device": "cpu", "device_name": "Fake processor", "devices": ["cpu"]}
    send(id=request["id"], result=answer)


def run_job(behaviour: str, folder: Path, request: dict) -> None:
    """Behave as told; where that is well, answer with what was prepared."""
    (folder / "request.json").write_text(json.dumps(request["params"]))
    with (folder / "requests").open("a") as log:
        log.write(json.dumps({"method": request["method"], **request["params"]}) + "\n")
    for done in range(3):
        params = {"id": request["id"], "stage": "fit", "done": done, "total": 3, "message": "a photo.png"}
        send(method="$/progress", params=params)
    if behaviour in WRONG_REPLIES:
        sys.stdout.buffer.write(WRONG_REPLIES[behaviour])
        sys.stdout.buffer.flush()
    if behaviour == "crash":
        print("terminate called: out of memory", file=sys.stderr, flush=True)
        os.abort()
    if behaviour == "hang":
        sleep_until_killed()
    if behaviour == "wait_for_cancel":
        while receive().get("method") != "$/cancelRequest":
            pass
        send(id=request["id"], error={"code": -32800, "message": "Cancelled.", "data": {"kind": "Cancelled"}})
        return
    if behaviour.startswith("fail:"):
        _, kind, text = behaviour.split(":", 2)
        send(id=request["id"], error={"code": -32000, "message": text, "data": {"kind": kind}})
        return
    answer = ANSWERS[request["method"]](behaviour, folder, request["params"])
    seconds = {"detect": 0.1, "total": 0.2}
    answer = {"body_file": "", "device": "cpu", "seconds": seconds, "messages": [], **answer}
    if behaviour.startswith("answer:"):
        other = behaviour.removeprefix("answer:").replace("JOB_FOLDER", request["params"]["job_folder"])
        answer |= json.loads(other)
    send(id=request["id"], result=answer)


def detect(_behaviour: str, folder: Path, _params: dict) -> dict:
    with np.load(folder / "result.npz") as prepared:
        people = [{"bbox_xywh": box, "score": 0.9} for box in prepared["boxes_xywh"].tolist()]
    return {"image_size": [640, 480], "people": people}


def reconstruct(behaviour: str, folder: Path, params: dict) -> dict:
    npz = result_file(behaviour, folder / "result.npz", params)
    if behaviour == "good":
        suit(params["images"][0], npz)
    overlay = overlay_file(npz.with_name("overlay.png"), params)
    entry = {"image": params["images"][0]["image"], "npz": str(npz), "overlay": overlay, "people": 1}
    return {"results": [entry]}


def suit(asked: dict, npz: Path) -> None:
    """Make the prepared result one of the asked picture: of its people, those in the given boxes, or all."""
    with np.load(npz) as prepared:
        arrays = dict(prepared)
    own = arrays["boxes_xywh"].tolist()
    kept = [own.index(box) for box in asked["bboxes_xywh"] or () if box in own]
    if kept:
        people = [name for name, value in arrays.items() if name not in WHOLE and value.shape[:1] == (len(own),)]
        arrays |= {name: arrays[name][kept] for name in people}
    if Path(str(arrays["image"])).is_file():  # otherwise it is meant to be wrong
        arrays["image"] = np.array(asked["image"])
    np.savez(npz, **arrays)


def fit_views(behaviour: str, folder: Path, params: dict) -> dict:
    npz = result_file(behaviour, folder / "views.npz", params)
    views = []
    for index, view in enumerate(params["views"]):
        overlay = overlay_file(npz.with_name(f"overlay{index}.png"), params)
        views.append({"name": view["name"], "overlay": overlay, "people": []})
    return {"npz": str(npz), "people": 1, "views": views}


def track(behaviour: str, folder: Path, params: dict) -> dict:
    own = folder / f"motion {Path(params['videos'][0]['video']).stem}.npz"
    npz = result_file(behaviour, own if own.exists() else folder / "motion.npz", params)
    overlay = overlay_file(npz.with_name("overlay.mp4"), params)
    return {"npz": str(npz), "overlays": [overlay] if overlay else [], "people": 1, "frames": 31}


def for_video(request: dict) -> str:
    """What to do with a video, by its name: "broken one.mp4"."""
    first = Path(request["params"]["videos"][0]["video"]).stem.partition(" ")[0] if request["method"] == "track" else ""
    return {"broken": "fail:ImageError:It is no movie.", "deadly": "crash", "long": "wait_for_cancel"}.get(
        first, "good"
    )


def fit_shape(behaviour: str, folder: Path, params: dict) -> dict:
    prepared = json.loads((folder / "shape.json").read_text())
    count = len(params.get("shapes") or params["images"])
    frames = [{"used": True, "reason": "", "weight": 1.0, "betas": prepared["betas"]} for _ in range(count)]
    for index in prepared["left_out"]:
        frames[index] |= {"used": False, "reason": "Nobody was found."}
    return {"betas": prepared["betas"], "frames": frames, "body_file": str(folder / "body.npz")}


def result_file(behaviour: str, prepared: Path, params: dict) -> Path:
    npz = Path(params["job_folder"]) / prepared.name
    content = prepared.read_bytes()
    npz.write_bytes(content[: len(content) // 2] if behaviour == "damaged_result" else content)
    return npz


def overlay_file(path: Path, params: dict) -> str | None:
    if not params["overlay"]:
        return None
    path.write_bytes(b"a picture")
    return str(path)


def feature_maps(behaviour: str, folder: Path, params: dict) -> dict:
    sheet = Path(params["job_folder"]) / "sheet.png"
    content = (folder / "sheet.png").read_bytes()
    sheet.write_bytes(b"no picture" if behaviour == "damaged_result" else content)
    return {"sheet": str(sheet), "keypoints": 67}


ANSWERS = {
    "detect": detect,
    "reconstruct": reconstruct,
    "fit_views": fit_views,
    "fit_shape": fit_shape,
    "track": track,
    "feature_maps": feature_maps,
}


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "starts").open("a").write("x")
    while True:
        request = receive()
        behaviour = (folder / "behaviour").read_text()
        if behaviour == "by_video":
            behaviour = for_video(request)
        if request["method"] == "initialize":
            initialize(behaviour, request)
        elif request["method"] == "shutdown":
            send(id=request["id"], result=None)
            return
        elif request["method"] in ANSWERS:
            run_job(behaviour, folder, request)


if __name__ == "__main__":
    main()
