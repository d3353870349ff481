# SPDX-License-Identifier: GPL-3.0-or-later
"""How the bundled body and weights are made and measured; not needed to use them, so in neither wheel nor zip."""
