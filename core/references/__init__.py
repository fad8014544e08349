"""Good photographs of people: encoded, matched to faces, and what they give to them."""
