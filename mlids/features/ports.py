"""Ports of the responder by their use, and the protocols that Zeek names: what is usual where, and what is odd."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl

# Remote administration and authentication: ssh, telnet, rpc, netbios, ldap, smb, mssql, mysql, rdp, postgres, vnc, winrm.
ADMIN_PORTS = [22, 23, 135, 139, 389, 445, 1433, 2323, 3306, 3389, 5432, 5900, 5985, 5986]
# Where passwords are tried. RPC, NetBIOS and LDAP are not among them: a domain member asks its controller all day.
LOGIN_PORTS = [21, 22, 23, 110, 143, 445, 993, 995, 1433, 2222, 2323, 3306, 3389, 5432, 5900, 5985, 5986]
WEB_PORTS = [80, 443, 8000, 8008, 8080, 8443]
# dns, dhcp, ntp, netbios, snmp, ssdp, mdns, llmnr.
INFRA_PORTS = [53, 67, 68, 123, 137, 138, 161, 546, 547, 1900, 5353, 5355]
# TLS by itself or after STARTTLS: mail, directory, web, push services, MQTT, SIP, AMQP, remote desktop, databases, Kubernetes.
TLS_PORTS = [
    21, 25, 110, 143, 389, 443, 465, 563, 587, 636, 853, 989, 990, 992, 993, 995, 1433, 2083, 2087, 2096, 3268, 3269, 3389, 5061,
    5222, 5223, 5228, 5229, 5230, 5349, 5432, 5671, 5986, 6443, 8008, 8009, 8080, 8443, 8883, 9443,
]  # fmt: skip
# HTTP: web, proxies, printing, UPnP and WS-Discovery, Docker, CouchDB, Elasticsearch, Prometheus, WinRM.
HTTP_PORTS = [
    80, 81, 443, 631, 1900, 2375, 2869, 3000, 3128, 5000, 5357, 5984, 5985, 7001, 8000, 8008, 8009, 8080, 8081, 8082, 8083, 8086, 8088,
    8090, 8123, 8443, 8530, 8888, 9000, 9090, 9091, 9100, 9200, 10000, 32400, 47001,
]  # fmt: skip
# High ports with a usual service: VPN, MQTT, proxies, calls and their relays, push, remote desktop, databases, file sharing,
# discovery, consoles and games of the large vendors.
USUAL_HIGH_PORTS = sorted(
    {*ADMIN_PORTS, *WEB_PORTS, *INFRA_PORTS, *TLS_PORTS, *HTTP_PORTS}
    | {1194, 1521, 1701, 1723, 1812, 1813, 1883, 1935, 2049, 3074, 3544, 4500, 5004, 5005, 5060, 5938, 6379, 6568, 7680, 8801, 9993, 11211, 17500}
    | {27017, 32410, 32412, 32413, 32414, 41641, 51820, 57621, *range(3478, 3498), *range(19302, 19310), *range(27015, 27051)}
)  # fmt: skip
# Where mail is handed over: to other mail servers, and from a client to its own.
MAIL_PORTS = [25, 465, 587]
# Push services and message brokers: MQTT, XMPP, Apple, Google. Clients reconnect and keep alive at steady intervals.
PUSH_PORTS = [1883, 5222, 5223, 5228, 5229, 5230, 5671, 8883]
# Services that Zeek reports daily on office and server networks; any other recognised service is odd.
USUAL_SERVICES = r"^(?:dns|http|ssl|quic|ssh|ntp|dhcp|smb|gssapi|krb|krb_tcp|ntlm|dce_rpc|ldap|ldap_tcp|ldap_udp|smtp|imap|pop3|ftp|ftp-data|snmp|syslog|rdp|mysql|postgresql|sip|radius|websocket|spicy_[a-z_]+|ayiya|teredo|stun)$"


# What a port is used for, one bit each.
DNS, WELL_KNOWN, WEB, INFRA, ADMIN, LOGIN, MAIL, PUSH, TLS, HTTP, HIGH, ODD = (1 << i for i in range(12))


@cache
def _uses() -> np.ndarray:
    """Return uint16[65537]: the uses of each port; the last is for no port."""
    uses = np.zeros(65_537, np.uint16)
    for use, ports in {
        DNS: [53], WELL_KNOWN: range(1024), WEB: WEB_PORTS, INFRA: INFRA_PORTS, ADMIN: ADMIN_PORTS, LOGIN: LOGIN_PORTS, MAIL: MAIL_PORTS,
        PUSH: PUSH_PORTS, TLS: TLS_PORTS, HTTP: HTTP_PORTS, HIGH: range(1024, 65_536),
        ODD: sorted(set(range(1024, 65_536)) - set(USUAL_HIGH_PORTS)),
    }.items():  # fmt: skip
        uses[list(ports)] |= use
    return uses


def uses_of(ports: pl.Series) -> np.ndarray:
    """Return uint16[n]: the uses of each port, a bit each; none for null and for numbers that are no port."""
    return _uses()[np.minimum(ports.fill_null(65_536).to_numpy(), 65_536)]


def is_upkeep(uses: np.ndarray, udp: np.ndarray) -> np.ndarray:
    """Return bool[n]: which conns are network upkeep (look-ups, time, leases, discovery), by the uses of the responder's port."""
    return udp & (uses & INFRA > 0)


def is_odd(conns: pl.DataFrame, uses: np.ndarray, transport: np.ndarray) -> np.ndarray:
    """Return bool[n]: which TCP or UDP conns (`transport`) have two high ports, the responder's without a usual service: peers call so."""
    return transport & (uses & ODD > 0) & (uses_of(conns["id.orig_p"]) & HIGH > 0)
