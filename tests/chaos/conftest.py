"""The scripts of this folder import one another by their names; so do the tests of them."""

import sys
from base64 import b64encode
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def index_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that addresses are looked up by."""
    monkeypatch.setenv("CARILLON_INDEX_KEY", b64encode(bytes(32)).decode())
