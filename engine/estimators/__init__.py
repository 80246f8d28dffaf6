"""Every algorithm by its name: ALGORITHMS those that can be trained, LOADABLE what an artifact may hold.

The modules of all of them are loaded when one of these is first asked for, so that a program that uses one
algorithm starts without the others.
"""

from typing import TYPE_CHECKING, Any

from engine.estimators.base import Estimator

if TYPE_CHECKING:
    from engine.estimators.registry import ALGORITHMS, LOADABLE

__all__ = ["ALGORITHMS", "LOADABLE", "Estimator"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from engine.estimators import registry

    return getattr(registry, name)
