"""Remote access trojans of desktops and phones: long sessions on odd ports, reconnects, unanswered calls, stolen data by mail."""

from __future__ import annotations

from mlids.synth.profiles.base import Profile
from mlids.synth.profiles.calling_home import Beacon, Both, Sessions
from mlids.synth.profiles.channel import SERVER_ENDS, Channel
from mlids.synth.profiles.logs import Tls, Web, together
from mlids.synth.profiles.moves import Upload
from mlids.synth.profiles.pace import Pace

_SILENT = Pace((2, 120), (0.0, 0.3), outage=1.0, missed=0.2)
_OWN = Tls(versions=("TLSv10", "TLSv12"))
_ANDROID = "Stratosphere's Android Mischief dataset papers: sessions of minutes, reconnects, calls unanswered while no operator listens"

PROFILES = (
    Profile(
        "asyncrat", "AsyncRAT", "odd_port", "T1571", "https://attack.mitre.org/software/S1087/ and its source: TLS on 6606, 7707, 8808; keep-alive every 10 to 15 s",
        Sessions((6606, 7707, 8808), (300, 40_000), (9, 16), (60, 160), "ssl", (3, 30), tries=3, every_try=(5, 30), servers=2), _OWN,
    ),
    Profile(
        "quasar", "Quasar", "odd_port", "T1571", "https://attack.mitre.org/software/S0262/ and its source: TLS on 4782, reconnect after 3 s, keep-alive every 25 s",
        Sessions((4782,), (300, 40_000), (20, 30), (40, 120), "ssl", (3, 10), tries=3, every_try=(3, 10), any_port=0.2), _OWN, trained=False,
    ),
    Profile(
        "remcos", "Remcos", "odd_port", "T1571", "https://attack.mitre.org/software/S0332/ and vendor analyses: TLS on 2404 and others, one long session, quick reconnects",
        Sessions((2404, 2405, 4783), (600, 60_000), (20, 60), (40, 250), "ssl", (1, 20), tries=6, every_try=(1, 20), servers=2), _OWN,
    ),
    Profile(
        "njrat", "njRAT", "command_and_control", "T1095", "https://attack.mitre.org/software/S0385/ and vendor analyses: plain TCP on 5552 and 1177, a keep-alive every few seconds",
        Sessions((5552, 1177), (120, 20_000), (3, 15), (2, 80), None, (2, 30), tries=4, every_try=(2, 8)),
    ),
    Profile(
        "nanocore", "NanoCore", "command_and_control", "T1095", "https://attack.mitre.org/software/S0336/ and vendor analyses: TCP on 54984 and others, keep-alive every 30 s",
        Sessions((54984, 9033), (300, 30_000), (25, 35), (12, 60), None, (3, 20), tries=5, every_try=(4, 12)), trained=False,
    ),
    Profile(
        "ahmyth", "AhMyth", "command_and_control", "T1437.001", "AhMyth's source (socket.io on 42474) and " + _ANDROID,
        Sessions((42474, 8000, 8080), (60, 3_000), (5, 26), (2, 90), "http", (1, 70), tries=2, hello=(200, 900), task=0.4),
        Web(("/socket.io/?model={}&EIO=3&transport=polling", "/socket.io/?EIO=3&transport=websocket&sid={}"), agents=("okhttp/3.5.0", None)),
    ),
    Profile(
        "droidjack", "DroidJack", "command_and_control", "T1437", "https://attack.mitre.org/software/S0320/; its default ports 1337 and 1334; " + _ANDROID,
        Both((
            Beacon(Pace((15, 30), (0.0, 0.02), outage=1.0), Channel((1337,), None, (20, 60), (4, 40), (0.05, 1.0), "udp", spread=0.0, any_port=0.3), lossy=False),
            Beacon(Pace((20, 120), (0.1, 0.9), busy=0.2), Channel((1334, 1337), None, (2, 60), (1, 40), (0.01, 0.5), ends=SERVER_ENDS, any_port=0.3)),
        )),
    ),
    Profile(
        "androrat", "AndroRAT", "command_and_control", "T1437", "https://attack.mitre.org/software/S0292/ and " + _ANDROID,
        Sessions((8000, 9999, 1337), (20, 2_000), (30, 60), (20, 300), None, (5, 200), tries=1, task=0.6),
    ),
    Profile(
        "saefko", "Saefko", "command_and_control", "T1071", "vendor analyses of Saefko (2019): IRC on 6667 beside TCP to the operator; " + _ANDROID,
        Both((
            Sessions((6667,), (60, 5_000), (90, 240), (20, 120), "irc", (1, 300), any_port=0.0, servers=3),
            Sessions((8000,), (30, 900), (10, 60), (10, 200), None, (20, 400)),
        )),
    ),
    Profile(
        "phone_unanswered", "Android RATs without an operator", "calling", "T1437", _ANDROID,
        Beacon(_SILENT, Channel((1337, 8000, 7771, 4444), None, (20, 300), (10, 200), (0.1, 3), any_port=0.5)),
    ),
    Profile(
        "spynote", "SpyNote", "calling", "T1437", "https://attack.mitre.org/software/S0305/ and vendor analyses: plain TCP on 7771 and 7744, reconnects every few seconds",
        Beacon(Pace((3, 60), (0.0, 0.2), outage=1.0, missed=0.1), Channel((7771, 7744, 8888), None, (30, 400), (10, 120), (0.2, 5))), trained=False,
    ),
    Profile(
        "agent_tesla_smtp", "Agent Tesla", "exfiltration", "T1048.003", "https://attack.mitre.org/software/S0331/ and vendor analyses: mails with key logs and screens on 587 every 20 to 60 minutes",
        Beacon(Pace((300, 3_600), (0.0, 0.2), busy=0.3), Channel((587, 587, 25, 465), "smtp", (2_000, 200_000), (400, 1_500), (1, 12), spread=0.6, task=(20_000, 900_000)), lossy=False),
    ),
    Profile(
        "agent_tesla_ftp", "Agent Tesla", "exfiltration", "T1048.003", "https://attack.mitre.org/software/S0331/ and vendor analyses: FTP, a control and a data connection for each file",
        Both((
            Beacon(Pace((300, 2_400), (0.0, 0.2)), Channel((21,), "ftp", (80, 250), (300, 900), (1, 20)), lossy=False),
            Beacon(Pace((300, 2_400), (0.0, 0.2)), Channel((), "ftp-data", (2_000, 400_000), (1, 1), (0.1, 6), spread=0.9), lossy=False),
        )),
    ),
    Profile(
        "chunked_upload", "any uploader over HTTP", "exfiltration", "T1041", "https://attack.mitre.org/techniques/T1041/: files in pieces of one size over the implant's own channel",
        Upload(Channel((8080, 80, 443, 8000), "http", (300, 900), (200, 2_000), any_port=0.2), (2e7, 5e9), (6, 40)),
        Web(("/upload?chunk={}", "/up/{}"), agents=("Go-http-client/1.1", "python-requests/2.31.0", None)),
    ),
    Profile(
        "rclone", "Rclone", "exfiltration", "T1567.002", "https://attack.mitre.org/software/S1040/ and rclone.org: four transfers at a time over TLS to a storage service",
        Upload(Channel((443,), "ssl", (1_500, 6_000), (3_000, 9_000)), (3e8, 2e10), (8, 60), (1e6, 1.2e7)),
        together(Tls(("upload.example-storage.com",), 0.9, "ok")), trained=False,
    ),
)  # fmt: skip
