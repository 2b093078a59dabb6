"""Drift and the weekly report, made from values handed over. No settings and no database enter."""
