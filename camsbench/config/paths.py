"""Where this package and its configuration lie."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent.parent
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel; in a checkout
