from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from chordtool.threads import one_blas_thread

# As the commands do: what one process computes must be to the bit what another one does.
one_blas_thread()

# How long an example takes says how busy the machine is, and nothing about the code; and what fails
# today fails tomorrow.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

# A shell starts what runs in its background with Ctrl-C ignored, and so would the programs be that
# tests start and interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours is set."""
    for variable in [v for v in os.environ if v.startswith("CHORDTOOL_")]:
        monkeypatch.delenv(variable)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here: no reference models or recordings to compare with")
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One piece of music in every codec."""
    from tests.clips import CODECS, SECONDS, encode, music

    folder = tmp_path_factory.mktemp("clips")
    samples = music(SECONDS, 44_100)
    for suffix, (container, codec) in CODECS.items():
        encode(folder / f"clip.{suffix}", samples, 44_100, container, codec)
    return folder
