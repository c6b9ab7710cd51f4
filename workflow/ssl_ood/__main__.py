"""`python -m ssl_ood`."""

import sys

from ssl_ood.cli import main

sys.exit(main())
