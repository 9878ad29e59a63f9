from . import conformance as conformance
from .snapshots import pair_backend as pair_backend
from .snapshots import snapshot_backend as snapshot_backend
from .snapshots import snapshot_names as snapshot_names
