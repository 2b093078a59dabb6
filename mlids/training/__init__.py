"""From the lake to a registered model: labels, dataset, snapshot, training, metrics, gate, registry. No live state and no settings enter."""
