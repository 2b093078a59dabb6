"""Bots of devices and desktops: long sessions on odd ports, scans, floods, peers, spam."""

from __future__ import annotations

from mlids.synth.profiles.base import Profile
from mlids.synth.profiles.calling_home import Beacon, Sessions
from mlids.synth.profiles.channel import Channel
from mlids.synth.profiles.crowds import Flood, Peers, SpamRun, Sweep
from mlids.synth.profiles.pace import Pace

MIRAI = "Antonakakis et al., Understanding the Mirai Botnet (USENIX Security 2017), and its published source: two bytes every 60 s, telnet on 23 and one in ten on 2323"
GAFGYT = "vendor analyses of Gafgyt (Bashlite) and its published source: plain text PING and PONG about every minute on a configured port"

SESSIONS = (
    Profile(
        "mirai_control", "Mirai", "command_and_control", "T1095", MIRAI,
        Sessions((23, 48101, 1791, 5555), (60, 20_000), (55, 65), (2, 4), None, (1, 10), tries=5, every_try=(1, 60), any_port=0.5, hello=(4, 40), task=0.02),
    ),
    Profile(
        "gafgyt_control", "Gafgyt", "command_and_control", "T1095", GAFGYT,
        Sessions((666, 6667, 4258, 23), (60, 20_000), (30, 70), (5, 8), None, (5, 30), tries=4, every_try=(5, 40), any_port=0.5, hello=(10, 80), task=0.02),
    ),
    Profile(
        "hakai_control", "Hakai", "command_and_control", "T1095", "Unit 42, new Mirai and Gafgyt campaigns (2018): Gafgyt's protocol, few long sessions, reconnects when silent",
        Sessions((9898, 23, 81), (20, 6_000), (20, 130), (4, 30), None, (1, 200), tries=8, every_try=(1, 30), any_port=0.5, hello=(8, 120), task=0.05),
    ),
    Profile(
        "irc_bot", "Tsunami (Kaiten)", "command_and_control", "T1071", "vendor analyses of Tsunami and Muhstik: IRC on 6667 and others, PING every few minutes",
        Sessions((6667, 6660, 8080, 443), (120, 30_000), (60, 300), (16, 90), "irc", (5, 120), tries=3, any_port=0.3, servers=2, hello=(150, 4_000), task=0.05),
    ),
    Profile(
        "torii", "Torii", "command_and_control", "T1095", "Avast, Torii botnet (2018): own encryption over TCP on 443, six servers in turn, a keep-alive about every minute",
        Sessions((443, 443, 5900), (100, 30_000), (55, 65), (60, 300), None, (5, 60), tries=3, any_port=0.1, servers=2, hello=(200, 1_500)), trained=False,
    ),
    Profile(
        "bot_server_down", "Mirai", "calling", "T1571", MIRAI + "; a bot whose server is gone calls on",
        Beacon(Pace((1, 90), (0.0, 0.5), outage=1.0), Channel((23, 48101, 6667, 443), None, (4, 300), (2, 200), (0.5, 20), any_port=0.5), servers=3),
    ),
)  # fmt: skip

SCANS = (
    Profile("mirai_telnet_scan", "Mirai", "horizontal_scan", "T1046", MIRAI, Sweep("internet", (23, 2323), (0.9, 0.1), (1, 200), open_share=(0.0, 0.05))),
    Profile(
        "device_exploit_scan", "Mozi and others", "horizontal_scan", "T1595.002", "vendor analyses of Mozi and Mirai's successors: web and UPnP ports of devices",
        Sweep("internet", (80, 8080, 81, 5555, 7547, 37215, 49152, 60001), (0.25, 0.25, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05), (0.5, 60)),
    ),
    Profile(
        "zmap_sweep", "ZMap", "horizontal_scan", "T1046", "zmap.io: one probe for each address in random order, no second try", Sweep("internet", (22, 445, 3389, 6379, 9200), None, (5, 300)),
        trained=False,
    ),
    Profile(
        "nmap_ports", "Nmap", "vertical_scan", "T1046", "nmap.org/book: the thousand most common ports in random order",
        Sweep("host", (21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 443, 445, 993, 1723, 3306, 3389, 5900, 8080), None, (5, 200), (250, 400)), trained=False,
    ),
    Profile(
        "nmap_sneaky", "Nmap", "slow_scan", "T1046", "nmap.org/book/performance-timing-templates.html: T1 waits 15 s between probes, T0 five minutes",
        Sweep("inside", (22, 80, 139, 445, 3389, 5985), (0.1, 0.2, 0.1, 0.3, 0.2, 0.1), (0.012, 0.06), (60, 140)), trained=False,
    ),
)  # fmt: skip

FLOODS = (
    Profile("mirai_syn_flood", "Mirai", "syn_flood", "T1498.001", MIRAI, Flood((80, 443, 22), spoofed=0.3)),
    Profile("gafgyt_udp_flood", "Gafgyt", "syn_flood", "T1498.001", GAFGYT, Flood((53, 80, 27015), udp=True)),
    Profile("hping3_flood", "hping3", "syn_flood", "T1498.001", "hping3's manual: -S --flood, with --rand-source", Flood((80, 443, 25), spoofed=0.6), trained=False),
)  # fmt: skip

CROWDS = (
    Profile(
        "zeus_p2p", "P2P Zeus", "peer_to_peer", "T1095", "Andriesse et al., Highly Resilient Peer-to-Peer Botnets (MALWARE 2013), and CERT Polska (2013): random high ports, rounds of half an hour",
        Peers((60, 400), (1_025, 30_000), (40, 200), (40, 260), cycle=(600, 2_400), tcp=(0.02, 0.25)),
    ),
    Profile(
        "mozi_dht", "Mozi", "peer_to_peer", "T1095", "vendor analyses of Mozi: BitTorrent's DHT under the bot's own keys, random high ports",
        Peers((80, 400), (1_025, 65_000), (90, 340), (90, 500), (0.3, 0.8), (20, 600), (0.0, 0.02)),
    ),
    Profile(
        "zeroaccess", "ZeroAccess", "peer_to_peer", "T1095", "vendor analyses of ZeroAccess: 16 bytes by UDP to each of 256 peers, one a second, on 16464, 16465, 16470 or 16471",
        Peers((120, 256), 16_464, (16, 16.1), (400, 900), (0.5, 0.95), (60, 900), (0.0, 0.05)),
    ),
    Profile(
        "sality", "Sality", "peer_to_peer", "T1095", "Falliere, Sality: Story of a Peer-to-Peer Viral Network (Symantec 2011): rounds of 40 minutes by UDP, ports derived from host names",
        Peers((60, 500), (1_100, 10_000), (20, 60), (20, 600), (0.5, 0.95), (1_200, 2_400), (0.0, 0.02)), trained=False,
    ),
    Profile("send_safe_spam", "Send-Safe", "spam", "T1071.003", "vendor analyses of Pony and Send-Safe: hundreds of mail servers within minutes, most blocked", SpamRun()),
    Profile(
        "submission_spam", "Emotet", "spam", "T1071.003", "https://attack.mitre.org/software/S0367/: mails through stolen accounts on 25, 465 and 587",
        SpamRun((25, 465, 587), (20, 150), (0.05, 2), (0.0, 0.4)),
    ),
    Profile(
        "cutwail_spam", "Cutwail", "spam", "T1071.003", "Stone-Gross et al., The Underground Economy of Spam (LEET 2011): templates, mail exchangers of the recipients, many rejected",
        SpamRun((25,), (80, 350), (0.5, 6), (0.2, 0.8)), trained=False,
    ),
)  # fmt: skip

PROFILES = (*SESSIONS, *SCANS, *FLOODS, *CROWDS)
