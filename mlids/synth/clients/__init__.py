"""Synthetic clients: what the hosts of homes, offices and laboratories do that is no attack, as conns.

One file per subject (web, services, peers, domain, chatter) with one function per kind of client; `profiles` holds their
tables, `habits` which hosts have which kinds. Attacks do not belong here.
"""
