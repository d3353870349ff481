# SPDX-License-Identifier: GPL-3.0-or-later
"""A script that runs a program and ends it, with its children, as soon as the standard input ends.

The input is a pipe from Blender. It ends when the user cancels, and also when Blender is killed, so that no
installation goes on alone. Standard library only: any Python runs it.
"""

import os
import signal
import subprocess
import sys
import threading


def end_all(process: "subprocess.Popen[bytes]") -> None:
    """End the program, its children and this script."""
    if os.name == "posix":
        os.killpg(0, signal.SIGKILL)
    subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False)
    os._exit(1)


def watch_input(process: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1):
        pass
    end_all(process)


def main() -> None:
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=watch_input, args=(process,), daemon=True).start()
    code = process.wait()
    # Not an ordinary exit: the thread still reads.
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
