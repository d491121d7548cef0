"""`python -m storyboard`: see `storyboard.cli`."""

import sys

from storyboard.cli import main

sys.exit(main())
