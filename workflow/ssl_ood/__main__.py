"""`python -m ssl_ood`."""

import sys

from ssl_ood.common.warm.client import run_warm

try:
    code = run_warm(sys.argv[1:])
    if code is None:
        from ssl_ood.cli import main

        code = main()
    sys.exit(code)
except KeyboardInterrupt:  # while it was starting
    sys.exit(130)
