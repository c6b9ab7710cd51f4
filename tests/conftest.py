"""Makes `support`, what the tests of several rooms share, importable everywhere."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ssl_ood.declarations import declare_everything

declare_everything()
