# SPDX-License-Identifier: GPL-3.0-or-later
"""refit-engine as a program, whose Ray workers have short blocks of frames, and accidents.

ACCIDENTS names a folder: the first block that begins at frame 4 is looked at, then its worker is killed, once. What a
worker opens of a clip named lost.mp4 is not there, as on a machine without the share. A clip named strange.mp4 breaks the
worker's program.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import refit_engine.farm.ray_pipeline as pipeline
from refit_engine.cli import main
from short_blocks import shorten


class ClumsyEngine(pipeline.BlockEngine):
    def __init__(self, jobs, options, device):
        shorten()
        super().__init__([job._replace(request=without_lost(job.request)) for job in jobs], options, device)

    def __call__(self, row):
        if self._jobs[row["clip"]].request.videos[0].video.name == "strange.mp4":
            raise RuntimeError
        done = super().__call__(row)
        workers = Path(os.environ["ACCIDENTS"])
        killed = workers / "killed"
        (workers / str(os.getpid())).touch()
        if row["start"] == 4 and not killed.exists():
            killed.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return done


def without_lost(request):
    def found(video):
        path = video.video
        return replace(video, video=path.with_name("nowhere.mp4") if path.name == "lost.mp4" else path)

    return replace(request, videos=tuple(map(found, request.videos)))


if __name__ == "__main__":
    shorten()
    pipeline.BlockEngine = ClumsyEngine
    sys.exit(main())
