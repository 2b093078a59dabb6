"""Implants of command-and-control frameworks and of loaders: short calls over HTTP, TLS and DNS."""

from __future__ import annotations

from dataclasses import replace

from mlids.synth.profiles.base import Profile
from mlids.synth.profiles.calling_home import DOWNLOAD, Beacon, Sessions
from mlids.synth.profiles.channel import RESET_ENDS, SERVER_ENDS, Channel
from mlids.synth.profiles.logs import CHROME, HEX, IE11, Queries, Tls, Web, together
from mlids.synth.profiles.moves import Tunnel
from mlids.synth.profiles.pace import Pace

_HTTP = Channel((80, 8080), "http", (170, 900), (110, 900), (0.02, 2.0), ends=SERVER_ENDS)
_TLS = Channel((443, 443, 8443), "ssl", (500, 2_500), (400, 6_000), (0.05, 6.0))
_STAGED = Web(
    ("/{}.exe", "/a/{}.dll", "/{}"),
    hosts=(),
    agents=(CHROME, "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1", None),
)
_CS_PACE = Pace((5, 300), (0.0, 0.5), "less", changes=0.4)
_SLIVER_PACE = Pace((30, 120), (0.3, 0.6), "more")

COBALT_STRIKE = "https://attack.mitre.org/software/S0154/ and the Malleable C2 reference: sleeptime 60,000 ms, jitter 0 to 99 %"
SLIVER = "https://attack.mitre.org/software/S0633/ and sliver.sh/docs: beacons every 60 s plus up to 30 s, mTLS on 8888"
EMPIRE = "https://attack.mitre.org/software/S0363/ and the Empire documentation: DefaultDelay 5 s, DefaultJitter 0"
METERPRETER = "docs.metasploit.com, Meterpreter timeout control and sleep control: polling from 0.1 to 10 s, sessions up to a week"

FRAMEWORKS = (
    Profile(
        "cobalt_strike_http", "Cobalt Strike", "beacon", "T1071.001", COBALT_STRIKE,
        Beacon(_CS_PACE, _HTTP, servers=2, stage=DOWNLOAD),
        Web(("/pixel.gif", "/__utm.gif", "/ca", "/submit.php?id={}", "/jquery-3.3.1.min.js"), agents=(IE11, CHROME)),
    ),
    Profile(
        "cobalt_strike_https", "Cobalt Strike", "beacon", "T1071.001", COBALT_STRIKE,
        Beacon(_CS_PACE, _TLS, servers=2, stage=DOWNLOAD),
        together(Tls(("cdn.example-updates.net", "ajax.example-cdn.org"), 0.6), _STAGED),
    ),
    Profile(
        "cobalt_strike_dns", "Cobalt Strike", "dns_tunnel", "T1071.004", COBALT_STRIKE,
        Tunnel((45, 110), (60, 280), (0.02, 6), 0.0), Queries(((1, "A"), (16, "TXT"), (28, "AAAA")), HEX, "ns1.example.org"),
    ),
    Profile(
        "cobalt_strike_pivot", "Cobalt Strike", "command_and_control", "T1090.001", COBALT_STRIKE + "; SMB and TCP beacons link to a parent",
        Sessions((445, 4444), (300, 20_000), (2, 60), (60, 400), None, (5, 300), inside=True, any_port=0.2),
    ),
    Profile(
        "sliver_https", "Sliver", "beacon", "T1071.001", SLIVER,
        Beacon(_SLIVER_PACE, replace(_TLS, up=(700, 3_500)), servers=2), Tls(("www.example-sync.net",), 0.5),
    ),
    Profile(
        "sliver_mtls", "Sliver", "odd_port", "T1573.002", SLIVER,
        Beacon(replace(_SLIVER_PACE, every=(20, 120)), Channel((8888,), "ssl", (1_200, 5_000), (1_100, 5_000), (0.1, 4), any_port=0.4)),
        Tls(status="unable to get local issuer certificate", versions=("TLSv13",)),
    ),
    Profile(
        "sliver_dns", "Sliver", "dns_tunnel", "T1071.004", SLIVER,
        Tunnel((70, 240), (60, 300), (0.1, 10), 0.1), Queries(((1, "A"), (16, "TXT")), "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", "c.example.net"),
    ),
    Profile(
        "empire_http", "Empire", "beacon", "T1071.001", EMPIRE,
        Beacon(Pace((3, 30), (0.0, 0.25)), Channel((80, 80, 8080), "http", (150, 350), (200, 800), (0.01, 0.5), ends=SERVER_ENDS), stage=DOWNLOAD),
        Web(("/admin/get.php", "/news.php", "/login/process.php"), agents=(IE11,)),
    ),
    Profile(
        "empire_odd_port", "Empire", "odd_port", "T1571", EMPIRE,
        Beacon(Pace((3, 60), (0.0, 0.4)), Channel((1337, 4443, 8081, 8888), "http", (150, 500), (200, 2_000), (0.01, 1), any_port=0.4, ends=SERVER_ENDS)),
        Web(("/admin/get.php", "/news.php", "/login/process.php"), agents=(IE11,)),
    ),
    Profile(
        "meterpreter_tcp", "Meterpreter", "command_and_control", "T1095", METERPRETER,
        Sessions((4444, 4444, 5555, 443), (600, 40_000), (50, 70), (60, 250), None, (5, 120), tries=4, hello=(50_000, 400_000), fewest=6, task=0.6),
    ),
    Profile(
        "meterpreter_https", "Meterpreter", "odd_port", "T1071.001", METERPRETER,
        Beacon(Pace((6, 10), (0.0, 0.05), grows_from=0.1, busy=0.02), Channel((8443, 4443, 8080), "ssl", (400, 1_400), (300, 1_500), (0.01, 1), ends=RESET_ENDS)),
        Tls(versions=("TLSv12",)),
    ),
    Profile(
        "havoc_https", "Havoc", "beacon", "T1071.001", "Havoc's default profile havoc.yaotl: Sleep 2 s, Jitter 15 %; HTTP and HTTPS listeners",
        Beacon(Pace((2, 90), (0.1, 0.3), changes=0.4), replace(_TLS, up=(450, 1_600), down=(500, 1_800)), servers=2),
        Tls(("assets.example-media.com",), 0.4), trained=False,
    ),
)  # fmt: skip

LOADERS = (
    Profile(
        "emotet", "Emotet", "odd_port", "T1571", "https://attack.mitre.org/software/S0367/: TLS and HTTP on 443, 7080, 8080, 50000 and others, long server lists",
        Beacon(Pace((15, 900), (0.05, 0.5), busy=0.1), Channel((443, 7080, 8080, 4143, 50000), "ssl", (600, 4_000), (400, 3_000), (0.3, 20)), servers=12, turn=True, stage=DOWNLOAD),
        together(Tls(versions=("TLSv12",)), _STAGED),
    ),
    Profile(
        "icedid", "IcedID", "beacon", "T1071.001", "https://attack.mitre.org/software/S0483/ and vendor analyses: TLS on 443 about every five minutes, own certificates",
        Beacon(Pace((240, 360), (0.0, 0.15), busy=0.08), Channel((443,), "ssl", (500, 2_500), (900, 6_000), (0.2, 8)), servers=3, turn=True, stage=DOWNLOAD),
        together(Tls(("example-funds.com", "example-garden.club"), 0.9, versions=("TLSv12",)), _STAGED),
    ),
    Profile(
        "trickbot", "TrickBot", "odd_port", "T1571", "https://attack.mitre.org/software/S0266/: TLS on 443, 447 and 449, several servers in turn",
        Beacon(Pace((20, 600), (0.05, 0.5)), Channel((443, 447, 449, 449), "ssl", (500, 3_000), (600, 8_000), (0.5, 30)), servers=8, turn=True),
        Tls(versions=("TLSv12",)),
    ),
    Profile(
        "warmcookie", "WarmCookie", "beacon", "T1071.001", "Elastic Security Labs, WARMCOOKIE (2024): HTTP GET with data in a cookie; the task that starts it runs every ten minutes",
        Beacon(Pace((4, 600), (0.0, 0.3), busy=0.15), Channel((80,), "http", (350, 700), (150, 500), (0.1, 1.0), ends=SERVER_ENDS), stage=DOWNLOAD),
        Web(("/", "/data/{}"), agents=("Mozilla / 4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1;.NET CLR 1.0.3705)", CHROME)),
    ),
    Profile(
        "qakbot", "QakBot", "odd_port", "T1571", "https://attack.mitre.org/software/S0650/ and vendor analyses: TLS on 443, 995, 2222, 2078 and 65400, long server lists",
        Beacon(Pace((30, 900), (0.05, 0.5), busy=0.08), Channel((995, 2222, 2078, 65400, 61202), "ssl", (500, 4_000), (400, 3_000), (0.3, 15)), servers=10, turn=True),
        Tls(("example-harbour.net",), 0.3, versions=("TLSv12",)), trained=False,
    ),
)  # fmt: skip

_ANY = "https://attack.mitre.org/techniques/T1029/ and T1071: implants without a known tool, whose sleep is anything from a second to half a day"
PACES = tuple(
    Profile(
        f"beacon_{name}", "any implant", "beacon", "T1029", _ANY,
        Beacon(Pace(every, (0.0, 0.6), changes=0.4, missed=0.15), Channel(ports, service, (60, 20_000), (60, 30_000), (0.02, 20), spread=0.3, any_port=0.1), servers=2),
        together(Tls(), Web(("/{}", "/api/{}", "/index.php"))),
    )
    for name, every, ports, service in (
        ("seconds_tls", (1, 12), (443, 8443), "ssl"), ("seconds_http", (1, 12), (80, 8080), "http"),
        ("minutes_tls", (12, 240), (443, 443, 8443), "ssl"), ("minutes_http", (12, 240), (80, 80, 8080), "http"),
        ("hour_tls", (240, 3_600), (443,), "ssl"), ("hour_http", (240, 3_600), (80,), "http"),
        ("half_day", (3_600, 43_200), (443, 80), "ssl"), ("minutes_plain", (5, 600), (443, 80, 4444, 8080), None),
    )
)  # fmt: skip

_PORT_53 = "https://attack.mitre.org/techniques/T1071/004/ and T1095: calls over port 53 straight to one address, past the site's resolver"
BESIDE = (
    Profile(
        "beacon_udp_53", "any implant over port 53", "beacon", "T1071.004", _PORT_53,
        Beacon(Pace((2, 120), (0.0, 0.4)), Channel((53,), "dns", (30, 90), (40, 250), (0.02, 0.8), "udp", spread=0.03), lossy=False),
        Queries(((1, "A"), (16, "TXT")), "abcdefghijklmnopqrstuvwxyz", "example.info"),
    ),
    Profile(
        "beacon_tcp_53", "any implant over port 53", "beacon", "T1095", _PORT_53,
        Beacon(Pace((5, 600), (0.0, 0.4)), Channel((53,), None, (40, 1_500), (40, 3_000), (0.05, 10))),
    ),
    Profile(
        "beacon_inside", "any implant behind another", "beacon", "T1090.001", "https://attack.mitre.org/techniques/T1090/001/: an infected host passes the calls of others on",
        Beacon(Pace((3, 300), (0.0, 0.4)), Channel((80, 443, 8080, 4444, 445), "http", (150, 2_500), (150, 4_000), (0.01, 1), any_port=0.2), inside=True),
        Web(("/{}", "/news.php")),
    ),
    Profile(
        "beacon_udp", "Send-Safe", "command_and_control", "T1095", "vendor analyses of Pony and Send-Safe: datagrams of one size every two seconds to a high port, TLS beside",
        Beacon(Pace((1, 30), (0.0, 0.2)), Channel((50012, 50024), None, (30, 200), (4, 120), (0.05, 1.0), "udp", spread=0.02, any_port=0.6)),
    ),
)  # fmt: skip

PROFILES = (*FRAMEWORKS, *LOADERS, *PACES, *BESIDE)
