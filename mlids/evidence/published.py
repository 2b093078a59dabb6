"""Published facts that evidence is judged by: names, addresses, certificates and client fingerprints. Short lists, not a feed."""

from __future__ import annotations

# Resolvers for anyone. Programs also reach them over TLS, by address and so without a server name.
PUBLIC_RESOLVERS = (
    "1.0.0.1", "1.0.0.2", "1.0.0.3", "1.1.1.1", "1.1.1.2", "1.1.1.3", "4.2.2.1", "4.2.2.2", "8.8.4.4", "8.8.8.8", "8.20.247.20", "8.26.56.26",
    "9.9.9.9", "9.9.9.10", "9.9.9.11", "45.90.28.0", "45.90.30.0", "64.6.64.6", "64.6.65.6", "74.82.42.42", "76.76.2.0", "76.76.10.0",
    "77.88.8.1", "77.88.8.8", "80.80.80.80", "80.80.81.81", "84.200.69.80", "84.200.70.40", "94.140.14.14", "94.140.15.15", "114.114.114.114",
    "114.114.115.115", "119.29.29.29", "149.112.112.10", "149.112.112.11", "149.112.112.112", "156.154.70.1", "156.154.71.1", "162.159.36.1",
    "162.159.46.1", "185.228.168.9", "185.228.169.9", "193.110.81.0", "185.253.5.0", "195.46.39.39", "195.46.39.40", "208.67.220.220",
    "208.67.220.222", "208.67.222.220", "208.67.222.222", "223.5.5.5", "223.6.6.6", "2001:4860:4860::8844", "2001:4860:4860::8888",
    "2606:4700:4700::1001", "2606:4700:4700::1111", "2620:119:35::35", "2620:119:53::53", "2620:fe::9", "2620:fe::fe",
)  # fmt: skip

# Subjects that tools write into the certificates of their servers unless told otherwise: (tool, pattern of subject or issuer).
TOOL_CERTIFICATES = (
    ("Cobalt Strike", r"(?i)CN=Major Cobalt Strike|O=cobaltstrike\b|OU=AdvancedPenTesting\b"),
    ("AsyncRAT", r"CN=AsyncRAT Server"),
    ("Quasar", r"CN=Quasar Server CA"),
    ("DcRat", r"CN=DcRat\b|O=DcRat By qwqdanchun|OU=qwqdanchun"),
    ("VenomRAT", r"CN=VenomRAT\b"),
    ("Orcus", r"CN=Orcus Server"),
    ("BitRAT", r"CN=BitRAT\b"),
    ("Covenant", r"^CN=Covenant$"),
    ("Mythic", r"^O=Mythic$"),
    ("PoshC2", r"CN=P18055077\b|O=Pajfds\b|OU=Jethpro\b"),
    ("Gozi", r"^CN=\*,OU=1,O=1,L=1,ST=1,C=XX$"),
    ("Brute Ratel", r"^CN=localhost,OU=Security,O=Microsoft,ST=California,C=US$"),
)
# Subjects that nobody filled in: defaults of OpenSSL and of distributions, and names of the machine itself.
DEFAULT_CERTIFICATES = (
    r"(?i)O=Internet Widgits|O=Default Company Ltd|O=SomeOrganization\b|O=My Company Name|O=Snake Oil|^CN=(localhost|localhost\.localdomain"
    r"|127\.0\.0\.1|example\.com|www\.example\.com|server|test|domain\.com)(,|$)"
)
# Programs between equals: each has its own certificate, by design signed by itself.
PEER_CERTIFICATES = r"(?i)CN=(syncthing|strelaysrv|webrtc|localsend|kde ?connect)\b"
# (JA3, JA3S): the client's fingerprint alone is often that of a library; with the server's answer it has been published for a tool.
TOOL_FINGERPRINTS = (
    ("Tor", "e7d705a3286e19ea42f587b344ee6865", "a95ca7eab4d47d051a5cd4fb7b6005dc"),
    ("TrickBot", "6734f37431670b3ab4292b8f60f29984", "623de93db17d313345d7ea481e7443cf"),
    ("Emotet", "4d7a28d6f2263ed61de88ca66eb011e3", "80b3a14bccc8598a1f3bbe83e71f735f"),
    ("Metasploit", "72a589da586844d7f0818ce684948eea", "70999de61602be74d4b25185843bd18e"),
    ("Cobalt Strike", "72a589da586844d7f0818ce684948eea", "b742b407517bac9536a77a7b0fee28e9"),
)

# Zones of services by what they are asked for; names below them count, and the zone itself.
IP_LOOKUPS = (
    "ipify.org", "icanhazip.com", "ifconfig.me", "ifconfig.co", "ipinfo.io", "ip-api.com", "checkip.amazonaws.com", "checkip.dyndns.org",
    "whatismyipaddress.com", "myexternalip.com", "ipecho.net", "ident.me", "wtfismyip.com", "myip.opendns.com", "ipapi.co", "freegeoip.net",
    "freegeoip.app", "geoplugin.net", "ip.sb", "iplogger.org", "api.myip.com", "whatismyip.akamai.com", "curlmyip.com", "ipwho.is", "ipwhois.app",
)  # fmt: skip
DYNAMIC_NAMES = (
    "duckdns.org", "no-ip.org", "no-ip.biz", "no-ip.info", "noip.me", "ddns.net", "hopto.org", "zapto.org", "sytes.net", "myftp.biz", "myftp.org",
    "myvnc.com", "servebeer.com", "serveblog.net", "servegame.com", "serveftp.com", "servehttp.com", "serveminecraft.net", "redirectme.net",
    "bounceme.net", "gotdns.ch", "webhop.me", "dynu.net", "freeddns.org", "mywire.org", "accesscam.org", "casacam.net", "giize.com", "gleeze.com",
    "kozow.com", "loseyourip.com", "ooguy.com", "theworkpc.com", "dyndns.org", "dyndns.info", "homeip.net", "dnsalias.com", "chickenkiller.com",
    "mooo.com", "strangled.net", "ignorelist.com", "afraid.org", "changeip.com", "3utilities.com", "dns04.com", "publicvm.com", "linkpc.net",
    "ddns.me", "ddnsking.com", "3322.org", "8866.org", "f3322.net", "nsupdate.info", "dynv6.net",
)  # fmt: skip
TUNNEL_SERVICES = (
    "ngrok.io", "ngrok.com", "ngrok.app", "ngrok.dev", "ngrok-free.app", "ngrok-agent.com", "trycloudflare.com", "argotunnel.com", "portmap.io",
    "portmap.host", "serveo.net", "localtunnel.me", "loca.lt", "localhost.run", "lhr.life", "pagekite.me", "playit.gg", "ply.gg", "bore.pub",
    "pinggy.io", "pinggy.link", "telebit.io", "packetriot.net", "localto.net", "loclx.io", "remote.moe", "devtunnels.ms", "tunnelto.dev",
)  # fmt: skip
TOR_NAMES = (
    "onion", "torproject.org", "onion.to", "onion.ws", "onion.pet", "onion.ly", "onion.link", "onion.city", "onion.cab", "onion.direct", "onion.sh",
    "tor2web.org", "tor2web.io", "tor2web.fi", "torstorm.org", "darknet.to",
)  # fmt: skip
MINING_POOLS = (
    "minexmr.com", "supportxmr.com", "nanopool.org", "moneroocean.stream", "hashvault.pro", "2miners.com", "f2pool.com", "minergate.com",
    "crypto-pool.fr", "xmrpool.eu", "monerohash.com", "dwarfpool.com", "ethermine.org", "herominers.com", "unmineable.com", "c3pool.com", "c3pool.org",
    "nicehash.com", "prohashing.com", "miningpoolhub.com", "zpool.ca", "viabtc.com", "antpool.com", "poolin.com", "slushpool.com", "braiins.com",
    "xmr.pt", "skypool.org", "kryptex.network", "woolypooly.com", "v2.xmrig.com", "ssl.xmrig.com", "coinhive.com",
)  # fmt: skip
PASTE_SITES = (
    "pastebin.com", "paste.ee", "hastebin.com", "ghostbin.co", "rentry.co", "rentry.org", "controlc.com", "paste.rs", "termbin.com", "ix.io", "0x0.st",
    "transfer.sh", "anonfiles.com", "file.io", "gofile.io", "pastecode.io", "privatebin.net", "catbox.moe", "temp.sh", "bashupload.com",
)  # fmt: skip
# Look-ups that carry a hash or an address by design: virus scanners, reputation and block lists.
REPUTATION_ZONES = (
    "mcafee.com", "sophosxl.net", "e5.sk", "spamhaus.org", "spamhaus.net", "surbl.org", "uribl.com", "barracudacentral.org", "barracudabrts.com",
    "sorbs.net", "spamcop.net", "senderbase.org", "dnswl.org", "mailspike.net", "ivmsip.com", "invaluement.com", "cymru.com", "dnsbl.info",
    "uceprotect.net", "mailshell.net", "ctmail.com", "abuseat.org", "njabl.org", "habeas.com", "bondedsender.org",
)  # fmt: skip
