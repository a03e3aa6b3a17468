import pytest

from jaxcnn.ops import lowering

needs_onednn = pytest.mark.skipif(lowering.onednn.missing() is not None, reason="no oneDNN in this jaxlib")
