"""What one key management entity (KME) holds: a pure state, and the events that change it."""
