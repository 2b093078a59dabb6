"""HTTP requests of benign conns and the files in their answers: pages, updates, checks of the connection, metrics, installers."""

from __future__ import annotations

import numpy as np
import polars as pl

from mlids.synth.ordinary.names import SiteNames
from mlids.synth.profiles.base import Logs
from mlids.synth.profiles.logs import BASE64, CHROME, file_ids, log_frame, serving, tokens

_BROWSERS = (
    CHROME, "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0",
    "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
)  # fmt: skip
_MOST_REQUESTS = 8
_LARGE, _PROGRAM = 1_000_000, 150_000  # bytes of an answer: a piece of an update, at least a small program

# Path and type of the answer; {} is a random token.
_PAGE = (
    ("/", "text/html"), ("/index.html", "text/html"), ("/static/{}.js", "text/javascript"), ("/img/{}.png", "image/png"), ("/img/{}.jpg", "image/jpeg"),
    ("/api/v1/items/{}", "application/json"), ("/css/{}.css", "text/plain"), ("/favicon.ico", "image/x-icon"),
)  # fmt: skip
_OTHER = {
    "update": (
        ("/filestreamingservice/files/{}", "application/vnd.ms-cab-compressed"),
        ("/pool/main/l/{}.deb", "application/x-debian-package"),
    ),
    "installer": (("/downloads/{}-setup.exe", "application/x-dosexec"), ("/download/{}.msi", "application/msword")),
    "check": (("/connecttest.txt", "text/plain"), ("/generate_204", "text/plain")),
    "revocation": (("/{}.crl", "application/pkix-crl"),),
    "app": (("/v2/sync?id={}", "application/json"),),
    "metrics": (("/metrics", "text/plain"),),
    "service": (("/api/status", "application/json"), ("/health", "text/plain"), ("/", "text/html")),
}
_AGENTS = {
    "update": ("Microsoft-Delivery-Optimization/10.1", "Debian APT-HTTP/1.3 (2.6.1)"), "check": ("Microsoft NCSI", "Dalvik/2.1.0 (Linux; U; Android 14)"),
    "revocation": ("Microsoft-CryptoAPI/10.0",), "app": ("okhttp/4.12.0",), "metrics": ("Prometheus/2.53.1",), "service": ("curl/8.5.0", "python-requests/2.32.3"),
}  # fmt: skip


def requests(conns: pl.DataFrame, names: SiteNames, rng: np.random.Generator) -> Logs:
    """Return rows of http.log and files.log for the conns of the service http, described as by `SiteNames`.

    The Host header is the server's name; that of inside servers, and of servers without a name, is the address.
    """
    rows = serving(conns, "http")
    if rows.is_empty():
        return {}
    orig, resp = (rows[f"{side}_bytes"].fill_null(0).to_numpy().astype(np.int64) for side in ("orig", "resp"))
    what = _purposes(rows, names, orig, resp, rng)
    count = np.where(what == "page", np.clip(orig // 450, 1, _MOST_REQUESTS), 1)
    of = np.repeat(np.arange(rows.height), count)
    each, what, n = rows[of], what[of], len(of)
    uri, mime, agent = _texts(what, rows["_orig"].to_numpy()[of] // 7, rng)
    body = np.maximum(resp[of] // count[of] - 260, 0)
    unchanged = (what == "page") & (rng.random(n) < 0.08)
    body = np.where(unchanged | (rng.random(n) < 0.01), 0, body)
    sent = np.where((what == "page") & (count[of] == 1) | (what == "app"), np.maximum(orig[of] - 700, 0), 0)
    place = np.arange(n) - np.repeat(np.cumsum(count) - count, count)
    lasted = each["duration"].fill_null(0.0).to_numpy()
    at = lasted * (place + rng.uniform(0.02, 0.3, n)) / np.maximum(count[of], 1)
    ts = each["ts"] + pl.Series((np.minimum(at, lasted) * 1e6).astype(np.int64)).cast(pl.Duration("us"))
    status = np.select([unchanged, (what == "update") & (body > 0), body == 0], [304, 206, 204], np.where(rng.random(n) < 0.02, 404, 200))
    shown = pl.Series(body > 0)
    fuid = pl.select(pl.when(shown).then(file_ids(n, rng))).to_series()
    mimes = pl.select(pl.when(shown).then(pl.Series(mime))).to_series()
    # A server outside port 80 has it in its Host header.
    named = pl.when(pl.col("local_resp").fill_null(value=False)).then("id.resp_h").otherwise(pl.coalesce("_name", "id.resp_h"))
    host = each.select(pl.when(pl.col("id.resp_p") == 80).then(named).otherwise(pl.concat_str(named, pl.lit(":"), "id.resp_p")).alias("h"))[
        "h"
    ]
    http = log_frame(
        "http", each, ts=ts, trans_depth=pl.Series(place + 1), method=pl.Series(np.where(sent > 0, "POST", "GET")), host=host, uri=uri, version="1.1",
        user_agent=agent, request_body_len=pl.Series(sent), response_body_len=pl.Series(body), status_code=pl.Series(status),
        status_msg=pl.Series(status).replace_strict({200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified", 404: "Not Found"}),
        referrer=pl.select(pl.when(pl.Series((place > 0) & (what == "page"))).then(pl.lit("http://") + host + "/")).to_series(),
        tags=pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, n), resp_fuids=_listed(fuid), resp_mime_types=_listed(mimes),
    )  # fmt: skip
    if not shown.any():
        return {"http": http}
    lengths = pl.Series(body).filter(shown)
    files = log_frame(
        "files", each.filter(shown).drop("duration"), ts=ts.filter(shown), fuid=fuid.filter(shown), source="HTTP", depth=0, mime_type=mimes.filter(shown), is_orig=False,
        duration=pl.Series(np.minimum(lasted - at, lasted / np.maximum(count[of], 1))).filter(shown), seen_bytes=lengths, total_bytes=lengths, missing_bytes=0, overflow_bytes=0, timedout=False,
    )  # fmt: skip
    return {"http": http, "files": files}


def _purposes(rows: pl.DataFrame, names: SiteNames, orig: np.ndarray, resp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what each conn is for: page, update, installer, check, revocation, app, metrics or service."""
    n = rows.height
    inside = rows["local_resp"].fill_null(value=False).to_numpy()
    monitor = rows["id.orig_h"].is_in(names.monitors).to_numpy()
    drawn = rng.random(n)
    app = (rows["_orig"].to_numpy() + 31 * rows["_resp"].to_numpy()) % 6 == 0
    return np.select(
        [inside & monitor, inside, (resp > _PROGRAM) & (drawn < 0.08), resp > _LARGE, (orig < 200) & (resp < 600), drawn > 0.95, app],
        ["metrics", "service", "installer", "update", "check", "revocation", "app"], "page",
    )  # fmt: skip


def _texts(what: np.ndarray, host: np.ndarray, rng: np.random.Generator) -> tuple[pl.Series, np.ndarray, pl.Series]:
    """Return path, type of the answer, and agent of each request; a host keeps its browser and its programs."""
    n = len(what)
    path, mime, agent = (np.empty(n, object) for _ in range(3))
    for purpose in sorted(set(what.tolist())):
        mine = np.flatnonzero(what == purpose)
        paths, agents = _PAGE if purpose == "page" else _OTHER[purpose], _AGENTS.get(purpose, _BROWSERS)
        which = (host[mine] % len(agents)).astype(np.int64)
        # Pages are drawn; what a program asks for belongs to the program.
        choice = rng.integers(0, len(paths), len(mine)) if purpose in {"page", "service", "installer"} else which % len(paths)
        path[mine], mime[mine] = (np.array([p[i] for p in paths], object)[choice] for i in (0, 1))
        agent[mine] = np.array(agents, object)[which]
    token = pl.Series(tokens(rng.integers(6, 20, n), BASE64, rng), dtype=pl.String)
    parts = pl.DataFrame({"p": pl.Series(path, dtype=pl.String), "t": token})
    whole = pl.col("p").str.split_exact("{}", 1).struct
    uri = parts.select(
        pl.when(pl.col("p").str.contains("{}", literal=True))
        .then(pl.concat_str(whole.field("field_0"), "t", whole.field("field_1")))
        .otherwise("p")
        .alias("u")
    )["u"]
    return uri, mime, pl.Series(agent, dtype=pl.String)


def _listed(values: pl.Series) -> pl.Series:
    """Return a list of one value for each row, null for null."""
    frame = pl.DataFrame({"v": values})
    return frame.select(pl.when(pl.col("v").is_not_null()).then(pl.concat_list("v"))).to_series()
