"""Known services of HTTP: those that answer with the asking address, and those that programs ask by routine."""

from __future__ import annotations

# Services that return the asking address as their only purpose; programs that want to know where they run use them.
IP_LOOKUPS = (
    "api.ipify.org", "api64.ipify.org", "ipify.org", "ip-api.com", "icanhazip.com", "ipv4.icanhazip.com", "checkip.dyndns.org",
    "checkip.dyndns.com", "checkip.amazonaws.com", "ipinfo.io", "wtfismyip.com", "ipv4.wtfismyip.com", "myexternalip.com", "ifconfig.me",
    "ifconfig.co", "ifconfig.io", "ipecho.net", "ident.me", "v4.ident.me", "tnx.nl", "whatismyipaddress.com", "bot.whatismyipaddress.com",
    "whatismyip.akamai.com", "ipwho.is", "ipwhois.app", "ipapi.co", "freegeoip.net", "freegeoip.app", "freegeoip.live", "geoiptool.com",
    "www.geoiptool.com", "ip.seeip.org", "api.my-ip.io", "api.myip.com", "api.ip.sb", "ip.sb", "ip.anysrc.net", "ipof.in", "l2.io",
    "eth0.me", "showip.net", "curlmyip.net", "trackip.net", "www.trackip.net", "ip4.seeip.org", "db-ip.com", "geolocation-db.com",
    "extreme-ip-lookup.com", "www.myip.com", "myip.dnsomatic.com", "ip.me", "www.ip.cn", "myip.opendns.com", "icanhazip.net",
)  # fmt: skip
CERTIFICATES = r"^application/(?:ocsp|pkix|x-pkcs7|x-x509)"
# Hosts of operating systems and browsers that poll without an agent or a name by design.
ROUTINE = (
    r"(?:^|\.)(?:windowsupdate\.com|microsoft\.com|msftconnecttest\.com|msftncsi\.com|gvt1\.com|google\.com|gstatic\.com|pki\.goog|"
    r"apple\.com|ubuntu\.com|debian\.org|mozilla\.(?:com|org|net)|firefox\.com|digicert\.com|lencr\.org)$"
)
CACHE = r"microsoft-delivery-optimization|windows-update-agent|microsoft-cryptoapi|upnp|wsdapi"  # of updates, at a provider's address
