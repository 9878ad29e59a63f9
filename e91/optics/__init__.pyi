from .links import Downlink as Downlink
from .links import Fibre as Fibre
from .links import FreeSpace as FreeSpace
