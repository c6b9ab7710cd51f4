"""`python -m ssl_ood`."""

import sys

try:
    from ssl_ood.cli import main

    sys.exit(main())
except KeyboardInterrupt:  # while it was starting
    sys.exit(130)
