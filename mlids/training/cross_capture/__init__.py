"""`mlids evaluate`: metrics on labelled captures of other networks. It reads logs handed to it; no lake and no registry enters.

The unit of splitting is the capture (a network and its days), never the row: rows of one capture are nearly equal, so
a random split measures memory. Its result is returned too, marked as flattering.
"""
