"""Where alerts go besides the product's own tables; one file per sink, with its settings. No scoring and no store enters."""
