"""A small checkpoint."""

import pytest

from tests import procedural
from tests.pytorch import published


@pytest.fixture
def tiny():
    """A small official EncNet's tensors, lateral and with the auxiliary head."""
    return procedural.weights(published.official(lateral=True, **published.TINY))
