"""Cases: evidence about one host of the site, joined to one event with a title and a severity. No model, log file or store enters."""
