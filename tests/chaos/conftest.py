"""The scripts of this folder import one another by their names; so do the tests of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
