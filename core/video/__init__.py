"""Moving pictures: faces followed through the frames, and held steady."""
