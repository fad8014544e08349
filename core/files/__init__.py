"""Pictures and weights: bytes in and out."""
