from .files import KeyFile as KeyFile
from .files import open_key_file as open_key_file
from .files import save_new as save_new
from .store import KeyLabel as KeyLabel
from .store import KeyState as KeyState
from .store import KeyStore as KeyStore
