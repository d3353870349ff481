# SPDX-License-Identifier: GPL-3.0-or-later
"""How the bundled body and weights are made; not needed to use them."""
