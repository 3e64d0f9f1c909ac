"""Types of the compiled `capi`: see capi.pyx."""

from typing import Any

from deltanet._core.engine import Engine

API: Any
FUNCTIONS: dict[str, int]

def address(engine: Engine) -> int: ...
def capsule(engine: Engine) -> Any: ...
