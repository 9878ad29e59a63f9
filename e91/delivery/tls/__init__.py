"""Who is at the other end of a TLS connection, by certificate alone."""
