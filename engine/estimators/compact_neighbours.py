"""A fitted model of neighbours whose similarities are kept as float16: half the bytes of the values.

Loaded, they are float32 again, since kernels add them up: smaller to keep and to send, not in memory.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.estimators.base import Arrays
from engine.estimators.neighbours import NeighbourModel
from engine.estimators.number_storage import decode, encode

VALUES, SCALE = "neighbour_values", "neighbour_scale"


class CompactNeighbours(NeighbourModel):
    """similarity_ holds float32 values that float16 times one power of two holds without loss."""

    def arrays(self) -> Arrays:
        arrays = super().arrays()
        codes, scale = encode(arrays[VALUES][:, None], "float16")
        return {**arrays, VALUES: codes[:, 0], SCALE: scale}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        codes, scale = arrays[VALUES], arrays[SCALE]
        if codes.dtype != np.float16 or codes.ndim != 1 or scale.dtype != np.float32 or scale.shape != (1,):
            raise ValueError(f"{VALUES} must be float16 with one float32 scale")
        super()._restore({**arrays, VALUES: decode(codes[:, None], scale)[:, 0]})

    @classmethod
    def of(cls, model: NeighbourModel) -> "CompactNeighbours":
        """Round a fitted model's similarities to what float16 keeps."""
        arrays = model.arrays()
        codes, arrays[SCALE] = encode(arrays[VALUES][:, None], "float16")
        arrays[VALUES] = codes[:, 0]
        size = {"n_users": model.n_users_, "n_items": model.n_items_}
        return cls.from_arrays(model.config, arrays, seed=model.seed, threads=model.threads, **size)


@cache
def compact(kind: type[NeighbourModel]) -> type[CompactNeighbours]:
    """Make the class of one algorithm's models with float16 similarities."""
    facts = {
        "name": f"{kind.name}_compact",
        "title": f"{kind.title}, compact",
        "__doc__": CompactNeighbours.__doc__,
    }
    return type(f"Compact{kind.__name__}", (CompactNeighbours, kind), facts)
