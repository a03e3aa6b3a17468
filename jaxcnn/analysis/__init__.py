"""What networks are and do: :func:`trace` reads any function of arrays; pages and figures show results."""

from jaxcnn.analysis.jaxpr.field import Field
from jaxcnn.analysis.jaxpr.layering import Layer
from jaxcnn.analysis.tracing import Trace, trace

__all__ = ["Field", "Layer", "Trace", "trace"]
