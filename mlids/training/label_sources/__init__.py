"""Labels for conns that carry none of their own, one source per file. Sources read typed batches; no lake and no database enters.

Other packages add sources under the entry point group `mlids.label_sources` (docs/extending.md).
"""
