# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m refit_training.train STAGE …"""

from .stages import main

main()
