"""The two forests, the bundle that production loads, and the verdict on a row. No labels, files or services enter."""
