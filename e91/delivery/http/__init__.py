"""HTTP/1.1 with limits at the door: requests to a handler and replies back, over TLS or plain.

Needs httptools: ``pip install 'e91[delivery]'``.
"""

from e91.system.extras import extra

extra("httptools", what="A server of keys")
