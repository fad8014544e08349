from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

class Input: ...
class Output: ...

class NodeOutput:
    args: tuple[Any, ...]

    def __init__(self, *args: object, ui: object = ...) -> None: ...

class Schema:
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init__(
        self,
        node_id: str,
        *,
        display_name: str | None = ...,
        category: str = ...,
        inputs: Sequence[Input] = ...,
        outputs: Sequence[Output] = ...,
        description: str = ...,
        is_input_list: bool = ...,
        is_output_node: bool = ...,
        search_aliases: list[str] = ...,
        **settings: Any,
    ) -> None: ...

class ComfyNode:
    @classmethod
    def define_schema(cls) -> Schema: ...

_Input = Input
_Output = Output

class Kind:
    """A type of socket: what it takes, and what it gives."""

    class Input(_Input):
        def __init__(
            self,
            id: str,
            *,
            display_name: str | None = ...,
            optional: bool = ...,
            tooltip: str | None = ...,
            default: Any = ...,
            **settings: Any,
        ) -> None: ...

    class Output(_Output):
        def __init__(
            self, id: str | None = ..., *, display_name: str | None = ..., tooltip: str | None = ..., **settings: Any
        ) -> None: ...

class Image(Kind): ...
class Mask(Kind): ...
class Float(Kind): ...
class Int(Kind): ...
class String(Kind): ...
class Boolean(Kind): ...
class Combo(Kind): ...

class UploadType(str, Enum):
    image = ...

class FolderType(str, Enum):
    input = ...

def Custom(io_type: str) -> type[Kind]: ...
