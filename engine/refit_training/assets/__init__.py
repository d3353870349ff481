# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundled files that are not trained: the body, converted networks."""
