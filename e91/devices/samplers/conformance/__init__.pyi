from .suite import conformance as conformance
from .suite import conforms as conforms
