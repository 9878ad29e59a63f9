from .control_room import PORT as PORT
from .control_room import serve as serve
