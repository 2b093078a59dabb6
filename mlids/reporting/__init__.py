"""Drift and the weekly report, from values passed in. No settings and no database enter."""
