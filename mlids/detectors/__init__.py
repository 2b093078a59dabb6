"""The two forests, how they are bundled as data, and how a verdict comes of them."""
