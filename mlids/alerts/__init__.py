"""Makes alerts of scored conns and delivers them: documents, grouping, suppression, delivery, sinks, stores. No scoring, no training and no log reading enters."""
