from .parties import Alice as Alice
from .parties import Bob as Bob
from .reconciler import reconcile as reconcile
from .reconciler import reconcile_packed as reconcile_packed
