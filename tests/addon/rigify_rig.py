# SPDX-License-Identifier: GPL-3.0-or-later
"""Saves a .blend file that holds the armature object “generated”, Rigify's rig of its basic human at (1, 2, 0). Usage: rigify_rig.py FILE.

In a process of its own: in Blender 4.2, Rigify's generator leaves bpy.context's pointers with the present scene as their owner,
and when that has been freed with its file, anything that sets a property of the window may end the process.
"""

import os
import sys

import bpy


def main(file: str) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)
    bpy.ops.preferences.addon_enable(module="rigify")
    bpy.ops.object.armature_basic_human_metarig_add()  # no face: generating that takes a minute
    bpy.context.object.location = (1, 2, 0)
    bpy.ops.pose.rigify_generate()
    generated = bpy.context.object
    generated.name = "generated"
    bpy.data.libraries.write(file, {generated})


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # Blender 4.5 as a module hangs in its exit handlers where Rigify was switched on
