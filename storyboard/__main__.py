"""`python -m storyboard`: see `storyboard.cli.main`."""

import sys

from storyboard.cli.main import main

sys.exit(main())
