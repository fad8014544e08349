from typing import Any

class PreviewImage:
    def __init__(self, image: Any, animated: bool = ..., cls: type | None = ..., **kwargs: Any) -> None: ...
