"""Faces of photographs: found, chosen, cropped, measured, told apart, and pasted back."""
