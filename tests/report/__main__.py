"""Take over what runs have left in .carillon, and draw tests/evidence. `make report`."""

import subprocess
import sys

from tests.report import page
from tests.report.gallery import REPOSITORY
from tests.report.results import read, take_over

EVIDENCE = REPOSITORY / "tests" / "evidence"


def main() -> None:
    """Say what was taken over; draw."""
    kept = EVIDENCE / "results"
    for name in take_over(REPOSITORY / ".carillon", kept):
        sys.stdout.write(f"taken over: {name}\n")
    page.write(read(kept), EVIDENCE, fault_list())
    sys.stdout.write(f"drawn: {(EVIDENCE / 'README.md').relative_to(REPOSITORY)}\n")


def fault_list() -> str:
    """What shows each fault, as the chaos runner tells it."""
    script = str(REPOSITORY / "tests" / "chaos" / "fault_list.py")
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
