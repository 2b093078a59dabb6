"""The two forests, the bundle of a model version, and the verdict on a row. Labels, files and services do not belong here."""
