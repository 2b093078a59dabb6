"""Functions over arrays, compiled by numba where rows are many."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled by numba; cached on disk."""
    import numba

    return numba.njit(cache=True, nogil=True)(function)  # type: ignore[no-any-return]
