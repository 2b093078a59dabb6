"""Where alerts go besides the product's own tables; one file per sink."""
