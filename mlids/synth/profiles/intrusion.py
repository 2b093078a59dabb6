"""What happens inside a network after the first host, and tunnels out of it: remote execution, sprays, guessed passwords, DNS."""

from __future__ import annotations

from dataclasses import replace

from mlids.synth.profiles.base import Profile
from mlids.synth.profiles.channel import RESET_ENDS, SERVER_ENDS, Channel
from mlids.synth.profiles.crowds import Guessing, Sweep
from mlids.synth.profiles.logs import BASE32, BASE64, HEX, Queries, Ssh, Tls
from mlids.synth.profiles.moves import DCE_RPC, ENDPOINT_MAPPER, SMB, RemoteExecution, Tunnel

IMPACKET = "https://attack.mitre.org/software/S0357/ and Impacket's examples"

MOVES = (
    Profile(
        "psexec", "PsExec", "lateral_movement", "T1569.002", "https://attack.mitre.org/software/S0029/: a service binary over SMB, the service manager over DCE-RPC",
        RemoteExecution((replace(SMB, up=(80_000, 2_000_000)), ENDPOINT_MAPPER, DCE_RPC)),
    ),
    Profile(
        "wmiexec", "Impacket", "lateral_movement", "T1047", IMPACKET + ": 135, a high DCE-RPC port, and output over SMB",
        RemoteExecution((ENDPOINT_MAPPER, DCE_RPC, SMB), (1, 10), (1, 12), (3, 900)),
    ),
    Profile(
        "dcsync", "Impacket", "lateral_movement", "T1003.006", IMPACKET + ": replication from a domain controller over 135 and a high DCE-RPC port",
        RemoteExecution((ENDPOINT_MAPPER, replace(DCE_RPC, up=(20_000, 300_000), down=(200_000, 20_000_000)), SMB), (1, 2), (3, 8), (10, 1_200), to_servers=True),
    ),
    Profile(
        "smb_spray", "Conti", "lateral_movement", "T1021.002", "https://attack.mitre.org/software/S0575/: SMB to every host known to the machine, files encrypted over the network",
        RemoteExecution((replace(SMB, up=(20_000, 50_000_000), down=(20_000, 50_000_000), lasts=(1, 300)),), (8, 60), (1, 4), (0.5, 60), (0.1, 0.5)),
    ),
    Profile(
        "rdp_hops", "RDP with stolen accounts", "lateral_movement", "T1021.001", "https://attack.mitre.org/techniques/T1021/001/",
        RemoteExecution((Channel((3389,), "rdp,ssl", (20_000, 400_000), (60_000, 4_000_000), (20, 1_800), ends=RESET_ENDS),), (3, 15), (1, 4), (20, 1_200)), Tls(),
    ),
    Profile(
        "winrm", "WinRM", "lateral_movement", "T1021.006", "https://attack.mitre.org/techniques/T1021/006/: HTTP on 5985 or TLS on 5986, many requests for each command",
        RemoteExecution((Channel((5985, 5985, 5986), "http", (3_000, 60_000), (3_000, 90_000), (0.5, 60), ends=SERVER_ENDS),), (4, 15), (2, 8), (3, 400)), trained=False,
    ),
    Profile(
        "wannacry_spray", "WannaCry", "horizontal_scan", "T1210", "https://attack.mitre.org/software/S0366/: port 445 of every inside address, several a second",
        Sweep("inside", (445,), None, (2, 60), (120, 400), (0.0, 0.25)),
    ),
)  # fmt: skip

GUESSING = (
    Profile(
        "hydra_ssh", "Hydra", "brute_force", "T1110.001", "Hydra's documentation: 16 tasks at a time, up to six passwords a session",
        Guessing(Channel((22,), "ssh", (1_200, 2_600), (1_600, 3_000), (0.2, 6), ends=(("RSTR", "ShADadFr", 0.6), ("SF", "ShADadFf", 0.3), ("RSTO", "ShADadFR", 0.1)))), Ssh(),
    ),
    Profile(
        "smb_password_spray", "CrackMapExec", "brute_force", "T1110.003", "https://attack.mitre.org/software/S0488/: one password for many accounts over SMB",
        Guessing(Channel((445,), "gssapi,smb,ntlm", (900, 2_500), (700, 2_000), (0.02, 2), ends=RESET_ENDS)),
    ),
    Profile(
        "ncrack_rdp", "Ncrack", "brute_force", "T1110.001", "nmap.org/ncrack: RDP logins in parallel, each closed after its answer",
        Guessing(Channel((3389,), "rdp,ssl", (1_200, 4_000), (1_200, 3_500), (0.2, 3), ends=RESET_ENDS)), Tls(), trained=False,
    ),
)  # fmt: skip

_NULL, _TXT, _A, _CNAME, _MX, _KEY = (10, "NULL"), (16, "TXT"), (1, "A"), (5, "CNAME"), (15, "MX"), (25, "KEY")
TUNNELS = (
    Profile(
        "dnscat2", "dnscat2", "dns_tunnel", "T1572", "dnscat2's documentation: TXT, CNAME and MX queries about once a second, hexadecimal names",
        Tunnel((80, 240), (90, 300), (0.5, 6), 0.8), Queries((_TXT, _CNAME, _MX), HEX),
    ),
    Profile(
        "dns2tcp", "dns2tcp", "dns_tunnel", "T1572", "dns2tcp's documentation: TXT or KEY queries in base64", Tunnel((60, 230), (80, 500), (1, 40), 0.6), Queries((_TXT, _KEY), BASE64),
    ),
    Profile(
        "ozymandns", "OzymanDNS", "dns_tunnel", "T1572", "Kaminsky, Black Ops of DNS (2004) and the tool's source: A queries up in base32, TXT down, one socket a query",
        Tunnel((90, 240), (60, 400), (0.5, 12), 0.2), Queries((_A, _TXT), BASE32),
    ),
    Profile(
        "iodine", "iodine", "dns_tunnel", "T1572", "code.kryo.se/iodine: NULL, TXT, MX or CNAME queries, base32 to base128, a query kept waiting at the server",
        Tunnel((60, 260), (60, 1_100), (0.5, 30), 0.5), Queries((_NULL, _MX, _TXT), BASE64), trained=False,
    ),
)  # fmt: skip

PROFILES = (*MOVES, *GUESSING, *TUNNELS)
