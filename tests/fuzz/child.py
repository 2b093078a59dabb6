"""`python -m tests.fuzz.child TARGET OPTIONS…`: one target under atheris, with the coverage of mlids."""

from __future__ import annotations

import logging
import sys

import atheris

from tests.fuzz import load

if __name__ == "__main__":
    name = sys.argv.pop(1)
    # numba reads the bytecode of the kernel, which must stay as it is.
    with atheris.instrument_imports(include=["mlids", "mlids_airflow", "html.parser"], exclude=["mlids.features.kernel"]):
        target = load(name)
    logging.disable(logging.CRITICAL)  # what is rejected is logged
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()
