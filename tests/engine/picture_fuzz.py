# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads seeded mutations of pictures in little memory; prints the most that was used, in megabytes.

Run as a program: `python picture_fuzz.py COUNT`. Ends with a traceback at the first error that is no ImageError.
"""

import io
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from picture_files import ORIENTATION, picture, saved
from PIL import Image
from refit_engine.errors import ImageError
from refit_engine.images import read_photo

LIMIT = 6 << 30  # of addresses: the libraries alone take two gigabytes
SEIZED = (0, 1, 0x7F, 0x80, 0xFF)


def samples():
    """A small file of each kind, with all that a reader looks for."""
    tags = {
        ORIENTATION: ("H", 6),
        0x920A: ("R", 4.25),
        0xA405: ("H", 26),
        0x927C: ("B", b"Apple iOS\0\0\1MM\0\1" + bytes(60)),
    }
    xmp = b'<x drone-dji:GimbalPitchDegree="-20.0"/>'
    for kind in ("jpg", "png", "png with text", "webp", "tif", "heic", "avif"):
        yield kind, saved(kind, picture(60, 40), tags, xmp if kind != "avif" else b"")
    for kind in ("GIF", "BMP", "PPM", "JPEG2000"):
        stream = io.BytesIO()
        Image.fromarray(picture(60, 40)).save(stream, kind)
        yield kind, stream.getvalue()


def mutated(data, rng):
    """Some bytes changed, most of them near the start; at times a piece cut out, or put in twice."""
    changed = bytearray(data)
    reach = len(data) if rng.random() < 0.4 else min(len(data), 400)
    for place in rng.integers(0, reach, rng.integers(1, 9)):
        changed[place] = rng.choice(SEIZED) if rng.random() < 0.5 else rng.integers(256)
    start, end = sorted(rng.integers(0, len(data), 2))
    way = rng.random()
    if way < 0.15:
        del changed[start:end]
    elif way < 0.25:
        changed[start:start] = changed[start:end]
    elif way < 0.4:
        del changed[end:]
    return bytes(changed)


def main(count):
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    path = Path(tempfile.mkdtemp()) / "photo"
    for kind, data in samples():
        rng, read = np.random.default_rng(0), 0
        for number in range(count):
            path.write_bytes(mutated(data, rng))
            try:
                read_photo(path).upright()
                read += 1
            except ImageError as error:
                assert "\n" not in str(error), (kind, number, str(error))
            except BaseException:
                print(kind, number, file=sys.stderr)
                raise
        print(f"{kind}: {read} of {count} read")
    # Not getrusage's: that counts the parent of a new process, too.
    (most,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    print(int(most.split()[1]) // 1024)


if __name__ == "__main__":
    main(int(sys.argv[1]))
