# SPDX-License-Identifier: GPL-3.0-or-later
"""What picture files say of themselves, read from their first bytes, before memory is spent on pixels."""

from .header import Header, Kind, Turn
from .naming import is_raw, name_of
from .sniff import read_header

__all__ = ["Header", "Kind", "Turn", "is_raw", "name_of", "read_header"]
