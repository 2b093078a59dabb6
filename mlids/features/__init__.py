"""One feature function for training, batch and live scoring: `mlids.features.extract.Extractor`. No model, label or file enters."""
