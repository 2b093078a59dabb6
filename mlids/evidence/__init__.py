"""What logs other than conn.log add, one file per log. It reads typed batches; no model, alert or service enters."""
