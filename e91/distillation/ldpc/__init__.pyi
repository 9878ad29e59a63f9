from .decoder import announce as announce
from .decoder import correct as correct
from .decoder import reconcile as reconcile
