"""What several test files use."""

import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts jobs in the background so, and what the tests start would be deaf to Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared():
    """The folder of reference data: $DELTANET_SHARED/data, or ../shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    data = Path(os.environ.get("DELTANET_SHARED") or beside) / "data"
    if not data.is_dir():
        pytest.skip(f"there is no reference data in {data}: see CONTRIBUTING.md")
    return data
