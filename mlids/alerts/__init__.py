"""From verdicts on rows to alerts that people get: documents, grouping, suppression, delivery, sinks and stores. No scoring, no training and no log reading enters."""
