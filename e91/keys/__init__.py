"""What happens to a key after its session: key stores and key files, every byte used once."""
