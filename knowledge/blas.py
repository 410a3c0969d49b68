"""Numpy's matrix products on one thread.

OpenBLAS spreads even a product of .3 ms over every core, and its threads spin while they wait: on two cores that
also run everything else, a search then takes 18 ms of a core instead of 5 (measured at load 8).
"""

import ctypes
from pathlib import Path

import numpy as np

# As numpy's own wheels name it, with and without 64-bit integers.
_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads")


def use_one_blas_thread() -> bool:
    """For the whole process, whatever OPENBLAS_NUM_THREADS says. Harmless to repeat.

    False where numpy brings another library than OpenBLAS, which then stays as it is.
    """
    # The `threadpoolctl` package does this for every library there is; this is the one that we ship with.
    for path in Path(np.__file__).parents[1].glob("numpy.libs/libscipy_openblas*"):
        library = ctypes.CDLL(str(path))
        for name in _SETTERS:
            setter = getattr(library, name, None)
            if setter is not None:
                setter(1)
                return True
    return False
