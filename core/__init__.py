"""The library: all that works without ComfyUI. It imports nothing at once; take what you need from its modules."""
