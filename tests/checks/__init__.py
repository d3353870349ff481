# SPDX-License-Identifier: GPL-3.0-or-later
"""What `build.py check` looks at beside ruff and pyright: imports, lengths of files, links and commands in documents."""
