import pytest

from tests import procedural
from tests.pytorch import published


@pytest.fixture
def tiny():
    """The tensors of a small official EncNet with lateral connections and auxiliary head."""
    return procedural.weights(published.official(lateral=True, **published.TINY))
