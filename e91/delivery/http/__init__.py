"""HTTP/1.1 with limits at the door: requests to a handler and replies back, over TLS or plain."""
