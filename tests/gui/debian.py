# SPDX-License-Identifier: GPL-3.0-or-later
"""A Debian unstable in a folder, for the Blender with a window that no wheel provides.

The mounts that it needs live in the namespace of the process that uses them and vanish with it, whatever happens:
nothing outside ever sees them, so that deleting the folder cannot reach through them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

HOST_TOOLS = ("debootstrap", "util-linux")
PACKAGES = (
    "blender python3-numpy python3-cattr python3-requests python3-zstandard python3-pytest"
    " xvfb openbox imagemagick x11-utils xdotool libgl1-mesa-dri"
).split()


def mirror(etc: Path = Path("/etc")) -> str | None:
    """The address from which this Debian system gets its own packages, or None on another system."""
    release = etc / "os-release"
    found = re.search(r"^VERSION_CODENAME=(\w+)$", release.read_text(), re.MULTILINE) if release.exists() else None
    if not found:
        return None
    suite = found[1]
    for path in (etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*"))):
        text = path.read_text() if path.is_file() else ""
        if path.suffix == ".sources":
            for stanza in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"^(\w[\w-]*):[ \t]*(.*)$", stanza, re.MULTILINE))
                if suite in fields.get("Suites", "").split() and "main" in fields.get("Components", "").split():
                    return fields["URIs"].split()[0]
        elif line := re.search(rf"^deb\s+(?:\[.*?\]\s+)?(\S+)\s+{suite}\s+.*\bmain\b", text, re.MULTILINE):
            return line[1]
    return None


def obstacle() -> str | None:
    """Why such a folder cannot be made here, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or mirror() is None:
        return "Blender 5.2 is set up as root on Debian only"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        return "this machine does not allow the mounts that Blender 5.2 needs"
    return None


def command_inside(
    root: Path,
    command: Sequence[str],
    settings: Mapping[str, str],
    *,
    readable: Sequence[Path] = (),
    writable: Sequence[Path] = (),
) -> list[str]:
    """A command line for this system that runs `command` in `root`, where some of this system's paths are visible.

    It gets a /tmp of its own. When it ends, so do all processes that it started.
    """
    lines = [
        "set -e",
        f"cd {shlex.quote(str(root))}",
        "mount -t proc proc proc",
        "mount --rbind /dev dev",
        "mount -t tmpfs -o mode=1777 tmpfs tmp",
    ]
    for path in (*readable, *writable):
        inner = Path(str(path).lstrip("/"))
        target = shlex.quote(str(inner))
        make = f"mkdir -p {target}" if path.is_dir() else f"mkdir -p {shlex.quote(str(inner.parent))}; touch {target}"
        lines += [make, f"mount --bind {shlex.quote(str(path))} {target}"]
        if path in readable:
            lines.append(f"mount -o remount,bind,ro {target}")
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "DEBIAN_FRONTEND": "noninteractive",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
        **settings,
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *command]
    lines.append(f"chroot . {shlex.join(words)}")
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(lines)]


def make(root: Path, log: Path) -> None:
    """Install Debian unstable with Blender and a virtual screen into `root`, unless it is complete already.

    Raises subprocess.CalledProcessError; what the programs said is in `log`.
    """
    stamp = root / ".complete"
    key = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return
    if root.exists():
        if f" {root}/" in Path("/proc/self/mountinfo").read_text():
            raise OSError(f"Something is mounted under {root}: unmount it, then try again.")
        shutil.rmtree(root)
    with log.open("w") as output:

        def call(command: Sequence[str]) -> None:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=True)

        call(["debootstrap", "--variant=minbase", "sid", str(root), mirror() or ""])
        # Dated mirrors serve lists whose validity has run out.
        (root / "etc/apt/apt.conf.d/99refit").write_text('Acquire::Check-Valid-Until "false";\n')
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        certificates = [path for path in (Path("/etc/ssl"), Path("/usr/share/ca-certificates")) if path.exists()]
        call(command_inside(root, ["apt-get", "update"], {}, readable=certificates))
        call(command_inside(root, ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], {}))
    stamp.write_text(key)
