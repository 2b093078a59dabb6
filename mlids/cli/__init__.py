"""The command line: parses arguments, calls `pipeline` (or `demo`) and prints. Nothing else of mlids enters."""
