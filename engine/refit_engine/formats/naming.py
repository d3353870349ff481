# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is that cannot be read as a picture, in words for a message."""

from __future__ import annotations

from .tiff import first_directory

_RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dcr .dng .erf .fff .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2 "
    ".rwl .sr2 .srf .srw .x3f".split()
)
_RAW_MAGICS = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
_DNG_VERSION = 50706
_NAMES: tuple[tuple[bytes, str], ...] = (
    (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"SDPX", "a DPX picture"),
    (b"XPDS", "a DPX picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"\x80\x2a\x5f\xd7", "a Cineon picture"),
    (b"8BPS", "a Photoshop file"),
    (b"DDS ", "a DDS texture"),
    (b"%PDF", "a PDF document"),
    (b"gimp xcf", "a GIMP file"),
    (b"BLENDER", "a Blender file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"RIFF", "a video or a sound"),
)


def is_raw(data: bytes, suffix: str) -> bool:
    """Whether a file is a camera's raw file. Most are TIFF files whose first picture is a small preview."""
    if data[4:12] == b"ftypcrx " or data[8:10] == b"CR" and data[:2] in (b"II", b"MM") or data.startswith(_RAW_MAGICS):
        return True
    if not data.startswith((b"II*\0", b"MM\0*")):
        return suffix.lower() in _RAW_SUFFIXES and not data.startswith((b"\xff\xd8", b"\x89PNG"))
    tags = first_directory(data)
    return suffix.lower() in _RAW_SUFFIXES or tags is not None and _DNG_VERSION in tags.entries


def name_of(data: bytes) -> str:
    """What a file seems to be that is no picture, with what to do about it."""
    for magic, name in _NAMES:
        if data.startswith(magic):
            return f"{name}: save it as JPEG or PNG" if name != "a video" else "a video: save one frame as JPEG or PNG"
    if data[4:8] == b"ftyp":
        if any(data[at : at + 4] in (b"heic", b"heix", b"mif1", b"avif") for at in range(8, 32, 4)):
            return "a HEIC or AVIF photo, and damaged"
        return "a video: save one frame as JPEG or PNG"
    try:
        data[:512].decode("utf-8")
        return "it holds text"
    except UnicodeDecodeError as error:
        # A character cut at the end of the sample is still text.
        return "it holds text" if error.start > 500 else "unknown format, or damaged"
