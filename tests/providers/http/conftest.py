"""Tests here may be coroutines, and share one certificate authority."""

import pytest

from tests.coroutines import pytest_pyfunc_call
from tests.providers.http.authority import Authority

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients of these tests trust."""
    return Authority.made_in(tmp_path_factory.mktemp("authority"))
