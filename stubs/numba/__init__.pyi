# What of Numba the engine uses; Numba has no types of its own. A compiled function takes what its own checks
# of types allow, which no annotation can say.
from collections.abc import Callable
from typing import Any

def njit(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...
