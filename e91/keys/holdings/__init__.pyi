from .cutting import cut_keys as cut_keys
from .holdings import Holdings as Holdings
