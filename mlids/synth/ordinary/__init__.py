"""Rows of Zeek's other logs about the benign conns of a synthetic site: names, browsers, certificates, logins, file shares."""
