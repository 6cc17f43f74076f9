"""`python -m last`."""
import sys

from last.cli import main

sys.exit(main())
