"""Scoring of conns: batch and its ranked list, live, and late (the gap ledger). No settings and no registry enter."""
