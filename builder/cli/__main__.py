"""`python -m builder.cli VERB`: the same as `forja VERB`."""

import sys

from builder.cli import main

sys.exit(main())
