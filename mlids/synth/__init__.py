"""A made-up site: its ordinary traffic, and attacks planted into it, written as Zeek would write them."""
