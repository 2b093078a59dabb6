"""Published marks of attacks on web servers: what attack requests contain, and the agents of scanners.

Zeek writes the URI decoded once, so that double encoding is still seen. Marks that ordinary programs have as well are left out: a
router's own pages are under /goform/ and /HNAP1, Solr's users import data, and `cmd=ping` is the heartbeat of many an application.
"""

from __future__ import annotations

_DOTS = r"(?:\.|%2e|%252e){2}(?:/|\\|%2f|%5c|%252f|%255c)"
_GAP = r"(?:\s|\+|%20|%09|%0a|/\*.{0,20}\*/)+"
_SPACE = r"(?:\s|\+|%20|\$\{ifs\})"
_LOADER = r"(?:wget|curl|busybox|tftp|chmod|bash|powershell|cmd\.exe)"

# Agents of scanners: what is looked for in the user agent, in lower case, and the scanner's name.
SCANNERS = {
    "sqlmap": "sqlmap", "nikto": "Nikto", "gobuster": "gobuster", "dirbuster": "DirBuster", "wfuzz": "Wfuzz", "fuzz faster": "ffuf",
    "feroxbuster": "feroxbuster", "nuclei": "Nuclei", "(hydra": "Hydra", "nmap scripting": "Nmap's scripts", "acunetix": "Acunetix",
    "netsparker": "Netsparker", "nessus": "Nessus", "openvas": "OpenVAS", "w3af": "w3af", "wpscan": "WPScan", "joomscan": "JoomScan",
    "whatweb": "WhatWeb", "arachni": "Arachni", "skipfish": "skipfish", "havij": "Havij", "commix": "commix", "zmeu": "ZmEu",
    "morfeus": "Morfeus", "jorgee": "Jorgee", "dirsearch": "dirsearch", "httpx - open-source": "httpx", "l9explore": "l9explore",
    "masscan": "masscan", "zgrab": "ZGrab", "censysinspect": "Censys", "expanse": "Expanse", "internetmeasurement": "InternetMeasurement",
}  # fmt: skip
# Those that survey the whole Internet.
SURVEYS = ("zgrab", "censysinspect", "expanse", "internetmeasurement", "masscan", "l9explore")

# What attacks contain, by sort. `_IN_ALL` is looked for in URI, user agent and referrer, which servers log and act on.
_IN_URI = {
    "path traversal": (
        rf"{_DOTS}.*(?:etc/(?:passwd|shadow|hosts)|win\.ini|boot\.ini|system32|proc/self|web\.config|bin/(?:ba)?sh)|"
        r"/(?:\.%2e|%2e\.|%%32%65)/.*/(?:\.%2e|%2e\.|%%32%65)/"
    ),
    "system file": r"/etc/(?:passwd|shadow)|/windows/win\.ini|/proc/self/environ",
    "SQL injection": (
        rf"union{_GAP}(?:all{_GAP})?select|information_schema\.(?:tables|columns|schemata)|"
        rf"(?:pg_sleep|benchmark|extractvalue|updatexml|xp_cmdshell)\(|(?:and|or|select|;){_GAP}(?:\()?sleep\(|"
        rf"waitfor{_GAP}delay|'{_GAP}(?:or|and){_GAP}'?\d+'?\s*=\s*'?\d"
    ),
    "script in a page": r"(?:<|%3c)script|(?:<|%3c)(?:svg|img)[^&]*onerror|javascript:alert|onload=alert",
    "shell command": (
        rf"(?:;|\||`|\$\(|&&|%3b|%7c)(?:{_SPACE})*{_LOADER}{_SPACE}|(?:`|\$\()(?:id|whoami|uname|cat|nc|ping)(?:{_SPACE}|`|\))|"
        rf";(?:{_SPACE})*(?:cat|nc|ping){_SPACE}[-/\w.]|/bin/(?:ba|da)?sh\b|\$\{{ifs\}}|"
        rf"(?:cmd|exec|command)=(?:{_LOADER}{_SPACE}|whoami|uname|/bin/|cat{_SPACE})"
    ),
    "PHP code": (
        r"eval-stdin|php://(?:input|filter)|allow_url_include|auto_prepend_file|data://text|think(?:\\|%5c)app|invokefunction|"
        r"base64_decode\(|phpinfo\(\)"
    ),
    "web shell": r"/(?:c99|r57|wso\d*|b374k|alfa(?:shell)?|cmd|webshell|antsword|shell|indoxploit)\.(?:php\d?|jspx?|aspx?|ashx)(?:$|\?)",
    "exploit of a device": (
        r"setup\.cgi\?.*cmd=|/cgi-bin/luci/;stok=/locale|/shell\?.*(?:wget|/tmp|cat)|/ctrlt/deviceupgrade|/cgi-bin/.*(?:\$\(|`)|"
        r"/gponform/diag_form|/board\.cgi\?cmd=|/device\.rsp\?.*cmd="
    ),
    "exploit of an application": (
        r"/autodiscover\.json\?.*(?:powershell|mapi/nspi)|/mgmt/tm/util/bash|\.\.;/|/dana-na/.*\.\.|/remote/fgt_lang\?lang=/|"
        r"/api/jsonws/invoke|/_ignition/execute|/vpns?/.*\.\./|params\.resource\.loader|%\{\(?#|\$\{\(?#|class\.module\.classloader|"
        r"/wls-wsat/|/console/(?:css|images)/(?:%25|\.\.)"
    ),
    "secrets": (
        r"/\.env(?:$|\.[\w-]*$|\?)|/\.git/(?:config|index)|/\.aws/|/\.ssh/|/id_rsa|/\.htpasswd|/\.svn/(?:entries|wc\.db)|/\.ds_store|"
        r"wp-config\.php\.|/(?:backup|dump|db|database|www|site)\.(?:sql|zip|tar|tar\.gz|tgz|rar|7z)$|/credentials(?:\.json)?$|"
        r"/secrets?\.(?:json|ya?ml)$|/\.git-credentials"
    ),
    "pages of administration": (
        r"/wp-login\.php|/wp-admin/|/xmlrpc\.php|/phpmyadmin|/pma/|/adminer|/manager/html|/server-status|/actuator(?:/|$)|"
        r"/phpinfo\.php|/cgi-bin/|/web-console/|/jmx-console|/geoserver/|/vendor/phpunit|/owa/auth/x\.js|/druid/index|"
        r"/telescope/requests|/sslvpn|/remote/login|/hnap1|/boaform/|/gponform/|/goform/|/tmunblock\.cgi"
    ),
}
_IN_ALL = {
    "Log4Shell": r"\$(?:\{|%7b)\s*(?:jndi:|lower:|upper:|::-|env:\w*:-)",
    "Shellshock": r"\(\)\s*\{\s*[:_]",
}
# (sort, the column that it is looked for in, regular expression)
PATTERNS: tuple[tuple[str, str, str], ...] = (
    *((sort, "uri", f"(?i){pattern}") for sort, pattern in _IN_URI.items()),
    *((sort, "text", f"(?i){pattern}") for sort, pattern in _IN_ALL.items()),
)
ANY_SCANNER = f"(?i)({'|'.join(word.replace('(', '[(]') for word in SCANNERS)})"
ANY_IN_URI = "(?i)" + "|".join(f"(?:{pattern})" for pattern in _IN_URI.values())
ANY_IN_ALL = "(?i)" + "|".join(f"(?:{pattern})" for pattern in _IN_ALL.values())

# Sorts whose mark is in a header as often as in the URI.
IN_HEADERS = tuple(_IN_ALL)
# Sorts that no page and no advertisement asks for by chance.
SURE = ("Log4Shell", "Shellshock", "exploit of a device", "system file")
LOOKED_FOR = ("secrets", "pages of administration", "debug method", "open proxy")
# Sorts that try to break in; the others look for something.
TRIED = (*(sort for sort in (*_IN_URI, *_IN_ALL) if sort not in LOOKED_FOR), "upload of a script")
# Sorts whose answer shows by itself that it worked: a page answers 200 to a strange parameter as well.
SHOWN_BY_ANSWER = ("path traversal", "system file", "web shell", "exploit of a device", "upload of a script", "open proxy", "secrets")
