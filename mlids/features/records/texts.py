"""What the characters of a text are like: entropy, digits, symbols, the longest word."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from mlids.features.compiled import compiled

MEASURES = ("entropy", "digits", "symbols", "longest")
# Characters and bytes that are looked at; the length of a text is a feature of its own.
MAX_CHARACTERS = 512
_DIGIT, _LETTER, _INNER, _SYMBOL = 0, 1, 2, 3


def _classes() -> np.ndarray:
    """Return the class of each byte. `-` and `_` are symbols that are part of a word; bytes of other scripts are letters."""
    out = np.full(256, _SYMBOL, np.uint8)
    out[ord("0") : ord("9") + 1] = _DIGIT
    out[ord("A") : ord("Z") + 1] = out[ord("a") : ord("z") + 1] = out[128:] = _LETTER
    out[[ord("-"), ord("_")]] = _INNER
    return out


CLASSES = _classes()


def measure(texts: pl.Series) -> np.ndarray:
    """Return float32[4, n]: the MEASURES of each text; NaN for null and for an empty text.

    Entropy is Shannon's, in bits a byte; digits and symbols are shares of the bytes; the longest word is a number of bytes.
    """
    heads = texts.str.head(MAX_CHARACTERS).fill_null("")
    data = np.frombuffer((heads.str.join("").item() or "").encode(), np.uint8)
    sizes = heads.str.len_bytes().to_numpy()
    ends = np.cumsum(sizes, dtype=np.int64)
    out = np.full((len(MEASURES), len(texts)), np.nan, np.float32)
    walk: Callable[..., None] = compiled(_walk)
    n = np.arange(1, 4 * MAX_CHARACTERS + 1)
    walk(data, ends, CLASSES, np.concatenate([[0.0], n * np.log2(n)]), out)
    return out


def _walk(data, ends, classes, n_log_n, out):  # type: ignore[no-untyped-def]
    """Write the measures of the texts that end at `ends` into `out`. Compiled by numba."""
    counts = np.zeros(256, np.int64)
    start = 0
    for i in range(len(ends)):
        size = ends[i] - start
        if size > 0:
            digits = symbols = run = longest = 0
            for at in range(start, ends[i]):
                byte = data[at]
                counts[byte] += 1
                kind = classes[byte]
                digits += kind == 0
                symbols += kind >= 2
                run = 0 if kind == 3 else run + 1
                longest = max(longest, run)
            shared = 0.0
            for at in range(start, ends[i]):
                shared += n_log_n[counts[data[at]]]
                counts[data[at]] = 0
            out[0, i] = max(np.log2(size) - shared / size, 0.0)
            out[1, i] = digits / size
            out[2, i] = symbols / size
            out[3, i] = longest
        start = ends[i]
