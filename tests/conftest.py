import os

import jaxtyping
import pytest
from hypothesis import settings

# Before anything imports looped: under pytest beartype checks what its signatures promise.
jaxtyping.install_import_hook("looped", "beartype.beartype")

settings.register_profile(
    "looped", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=25
)
settings.load_profile("looped")


@pytest.fixture
def as_users_run_it(monkeypatch):
    """Without the hook's checks, which would come before the package's own."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
