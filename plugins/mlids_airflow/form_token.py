"""Tokens of forms: a request that changes something carries one, which a page of another site cannot know."""

import hashlib
import hmac
import json

LIFETIME_S = 4 * 3_600
_PURPOSE = b"mlids: forms of the case pages"


def form_token(secret: str, user: str, about: str, now_s: float) -> str:
    """Return the token of a form that `user` may send about something until LIFETIME_S after `now_s` (seconds since 1970)."""
    expires_s = int(now_s) + LIFETIME_S
    return f"{expires_s}.{_code(secret, user, about, expires_s)}"


def is_valid(token: str, secret: str, user: str, about: str, now_s: float) -> bool:
    """Return whether `form_token` made this token for the same user and thing, and it has not expired."""
    expires, _, code = token.partition(".")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12 and code.isascii()):
        return False
    return hmac.compare_digest(code, _code(secret, user, about, int(expires))) and now_s < int(expires)


def _code(secret: str, user: str, about: str, expires_s: int) -> str:
    key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
    return hmac.new(key, json.dumps([user, about, expires_s]).encode(), hashlib.sha256).hexdigest()
