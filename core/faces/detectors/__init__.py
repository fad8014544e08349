"""What finds faces: one file for each library, behind :mod:`..detect`."""
