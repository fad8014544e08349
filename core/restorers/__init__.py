"""What restores an aligned face: the table of families, restorers with a codebook and tokens, third-party ones."""
