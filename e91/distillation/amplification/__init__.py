"""Privacy amplification by Toeplitz hashing."""
