"""Names and types of fetched files, and the places that programs come from, as regular expressions."""

from __future__ import annotations

# What Zeek calls programs of Windows, Linux and macOS by their first bytes.
PROGRAM = (
    r"^application/(?:x-dosexec|vnd\.microsoft\.portable-executable|x-executable|x-pie-executable|x-sharedlib|x-elf|"
    r"x-mach-o-executable|x-mach-binary)$"
)
SCRIPT_TYPE = r"shellscript|powershell|x-(?:perl|python|ruby|vbscript|hta)|java-archive|x-java-applet|application/hta"
SCRIPT_NAME = r"(?i)\.(?:ps1|psm1|vbs|vbe|hta|jar|bat|cmd|sct|wsf|wsh|jse|sh|py|pl|lnk)(?:[?#]|$)"
# Names that promise a picture, a text or a document.
HARMLESS = (
    r"(?i)\.(?:jpe?g|jfif|png|gif|bmp|ico|svg|webp|tiff?|txt|css|html?|json|xml|csv|rtf|pdf|docx?|xlsx?|pptx?|mp3|mp4|avi|wav|mov|woff2?|"
    r"ttf)$"
)
DOUBLE = (
    r"(?i)\.(?:pdf|docx?|xlsx?|pptx?|rtf|txt|jpe?g|png|gif|html?|mp3|mp4|csv)[\s_]*\.(?:exe|scr|com|pif|bat|cmd|vbs|js|jse|hta|lnk|ps1)$"
)
# Folders of a web application that hold its code: whoever puts a program there has broken in.
CODE_FOLDERS = (
    r"(?i)/wp-content/(?:themes|plugins)/|/wp-includes/|/wp-admin/|/administrator/(?:components|modules)/|/\.well-known/|/cgi-bin/"
)
# Makers who deliver programs over plain HTTP; their updates check signatures themselves.
MAKERS = (
    r"(?:^|\.)(?:windowsupdate\.com|microsoft\.com|gvt1\.com|google\.com|adobe\.com|apple\.com|mozilla\.(?:org|net)|"
    r"ubuntu\.com|debian\.org|nvidia\.com|intel\.com|amd\.com|dell\.com|hp\.com|lenovo\.com|avast\.com|avcdn\.net|eset\.com|"
    r"kaspersky\.com|steamcontent\.com|symantec\.com|mcafee\.com|trendmicro\.com|oracle\.com|java\.com|vmware\.com|"
    r"logitech\.com|samsung\.com|epson\.com|canon\.com|sourceforge\.net|videolan\.org)$"
)
# Names under which anybody has a host for nothing, at any address.
DYNAMIC = (
    r"\.(?:duckdns\.org|ddns\.net|hopto\.(?:org|me)|zapto\.org|sytes\.net|myftp\.(?:biz|org)|no-ip\.(?:org|biz|info)|serve(?:ftp|http|"
    r"game|blog)\.(?:com|net)|redirectme\.net|"
    r"myvnc\.com|bounceme\.net|dyndns\.(?:org|biz|info|tv)|dynu\.(?:com|net)|ngrok\.io|trycloudflare\.com|3utilities\.com|gotdns\.(?:org|"
    r"ch)|chickenkiller\.com|mooo\.com|us\.to)$"
)
UPDATER = r"(?i)microsoft-delivery-optimization|windows-update-agent"
PACKED = r"(?i)upx|aspack|themida|vmp\d|mpress|petite|enigma|nsp\d|fsg!"
