"""Attacks on web servers, from http.log: attack paths, scanners by their agent, guessed paths and guessed passwords.

Every server that the Internet reaches is probed all day, so that a probe from outside that got nothing is a weak hint. It is another
matter when the server answered it, or when the prober is a host of the site.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.http_requests import (
    ENDS,
    READ,
    clearest,
    counted,
    distinct,
    few,
    fold_requests,
    hashed,
    joined_few,
    length,
    piece,
    requests,
    span,
    with_sides,
)  # fmt: skip
from mlids.evidence.tables import ramp, seen_agg, seen_fold
from mlids.evidence.web_patterns import (
    ANY_IN_ALL,
    ANY_IN_URI,
    ANY_SCANNER,
    IN_HEADERS,
    PATTERNS,
    SCANNERS,
    SHOWN_BY_ANSWER,
    SURE,
    SURVEYS,
    TRIED,
)

MAX_PAIRS = 100_000
MAX_LOGINS = 50_000
HASHES = 128  # of refused paths kept for a pair
FEW_PATHS, MANY_PATHS = 20, 60  # refused paths with different beginnings; a broken page repeats few
FEW_GUESSES, MANY_GUESSES = 20, 100
_LOGIN = r"(?i)log-?in|log-?on|sign-?in|/auth|/session|xmlrpc\.php|j_security_check|/token$|passw|/api/user"
REFUSED = [400, 401, 403, 404, 405, 406, 410, 501]
_PAIR = list(ENDS)

KINDS = (
    Kind("web_attack", "attack on a web server", "sends attack requests to the web server {target}: {subject}", "T1190",
         "read the requests and their answers, then look in the server's logs for files written and processes started at that time"),
    Kind("web_probe", "search for weak spots of a web server", "asks the web server {target} for {subject}", "T1595.003",
         "check whether the paths that were answered should be public, and remove them if not"),
    Kind("web_scanner", "web scanner", "uses {subject} on {target}", "T1595.002",
         "ask the owner whether the scan was ordered; if not, isolate the source and read what the server answered with 200"),
    Kind("web_path_guessing", "guessing of paths on a web server", "guesses paths on the web server {target}", "T1595.003",
         "list the guessed paths that were answered with 200, and find the program that sent the requests"),
    Kind("web_login_guessing", "guessing of passwords on a web server", "guesses passwords for {subject} on {target}", "T1110",
         "look in the server's log for a login of this source that succeeded, and reset that account's password"),
)  # fmt: skip


class HttpAttacks(Collector):
    """Requests that attack, refused paths and logins, by source and server. State is bounded: the largest pairs are kept.

    Tables: `probes`, a row per pair and sort of attack; `answers`, a row per pair; `logins`, a row per pair and path.
    """

    reads = {"http": tuple(READ)}
    kinds = KINDS

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of http.log. Rows whose request was not seen are skipped."""
        asked = requests(rows).drop_nulls("method")
        if asked.is_empty():
            return
        ok = pl.col("status").is_between(200, 299).fill_null(value=False) & (pl.col("got") > 0)
        asked = asked.with_columns(ok=ok, refused=pl.col("status").is_in(REFUSED).fill_null(value=False))
        examples = {"uri": pl.col("uri").first(), "ok_uri": pl.col("ok_uri").drop_nulls().first(), "paths": joined_few("paths", HASHES)}
        fold_requests(self.tables, "probes", _probes(asked), [*_PAIR, "what"], {**_sums("ok"), **examples}, MAX_PAIRS)
        hashes = {"heads": joined_few("heads", HASHES), "paths": joined_few("paths", HASHES)}
        fold_requests(self.tables, "answers", _answers(asked), _PAIR, {**_sums("ok", "refused", "served"), **hashes}, MAX_PAIRS)
        different = {"names": joined_few("names", 32), "sizes": joined_few("sizes", 8)}
        fold_requests(
            self.tables,
            "logins",
            _logins(asked),
            [*_PAIR, "host", "path"],
            {**_sums("denied", "ok", "moved", "posts"), **different},
            MAX_LOGINS,
        )

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return attacks by source and server, the clearest first."""
        if "probes" not in self.tables:
            return []
        probes, answers = (with_sides(self.tables[name], site) for name in ("probes", "answers"))
        logins = with_sides(self.tables["logins"], site).join(answers.select(*_PAIR, "served"), on=_PAIR, how="left", nulls_equal=True)
        found = [*_attacks(probes, answers), *_scanners(probes), *_guessed_paths(answers), *_guessed_logins(logins)]
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = HttpAttacks


def _sums(*names: str) -> dict[str, pl.Expr]:
    return {name: pl.col(name).sum() for name in names}


def _probes(asked: pl.DataFrame) -> pl.DataFrame:
    """Return one row per pair and sort of attack. A request may be of several sorts."""
    text = pl.concat_str("uri", pl.lit("\n"), "agent", pl.lit("\n"), pl.col("referrer").fill_null(""))
    other = ~pl.col("method").is_in(["GET", "POST", "HEAD", "OPTIONS"])
    marked = pl.col("uri").str.contains(ANY_IN_URI) | pl.col("text").str.contains(ANY_IN_ALL) | pl.col("agent").str.contains(ANY_SCANNER)
    odd = asked.with_columns(text=text).filter(other | marked)
    script = (pl.col("method") == "PUT") & pl.col("path").str.contains(r"(?i)\.(?:php\d?|phtml|jspx?|aspx?|ashx|cgi|war)/?$")
    by_method = {
        "upload of a script": script,
        "debug method": pl.col("method").is_in(["TRACE", "TRACK", "DEBUG"]),
        "open proxy": pl.col("method") == "CONNECT",
    }
    sorts = {**{name: pl.col(on).str.contains(pattern) for name, on, pattern in PATTERNS}, **by_method}
    scanner = pl.lit("tool ") + pl.col("agent").str.extract(ANY_SCANNER).str.to_lowercase()
    listed = pl.concat_list([*(pl.when(test).then(pl.lit(name)) for name, test in sorts.items()), scanner])
    each = odd.with_columns(what=listed).explode("what", empty_as_null=False, keep_nulls=False).drop_nulls("what")
    # PUT is answered with 201 or 204 and no body.
    done = (
        pl.when(pl.col("what") == "upload of a script")
        .then(pl.col("status").is_in([200, 201, 204]).fill_null(value=False))
        .otherwise(pl.col("ok"))
    )
    shown = (
        pl.when(pl.col("what").is_in(IN_HEADERS))
        .then(pl.coalesce(pl.col("text").str.extract(r"((?:\$(?:\{|%7b)|\(\)\s*\{).*)"), "uri"))
        .otherwise("uri")
    )
    each = each.with_columns(ok=done, path=hashed("path"), uri=shown)
    return each.group_by([*_PAIR, "what"], maintain_order=True).agg(
        ok=pl.col("ok").sum().cast(pl.Int64), uri=pl.col("uri").first(), ok_uri=pl.col("uri").filter(pl.col("ok")).first(),
        paths=few("path", HASHES), **seen_agg()
    )  # fmt: skip


def _answers(asked: pl.DataFrame) -> pl.DataFrame:
    head = pl.col("path").str.extract(r"^/?([^/]*)")
    counted = asked.with_columns(head=pl.when("refused").then(head.hash(seed=11) // 2**12), path=pl.when("refused").then(hashed("path")))
    return counted.group_by(_PAIR, maintain_order=True).agg(
        ok=pl.col("ok").sum().cast(pl.Int64),
        refused=pl.col("refused").sum().cast(pl.Int64),
        served=pl.col("status").is_between(200, 399).sum().cast(pl.Int64),
        heads=few("head", HASHES),
        paths=few("path", HASHES),
        **seen_agg(),
    )


def _logins(asked: pl.DataFrame) -> pl.DataFrame:
    denied = pl.col("status").is_in([401, 403]).fill_null(value=False)
    post = pl.col("method") == "POST"
    tries = asked.filter(
        (pl.col("status") == 401).fill_null(value=False) | (post & pl.col("path").str.contains(_LOGIN)) | pl.col("username").is_not_null()
    )
    return tries.with_columns(name=hashed("username")).group_by([*_PAIR, "host", "path"], maintain_order=True).agg(
        denied=denied.sum().cast(pl.Int64), ok=pl.col("status").is_between(200, 299).sum().cast(pl.Int64),
        moved=pl.col("status").is_between(300, 399).sum().cast(pl.Int64),
        posts=post.sum().cast(pl.Int64), names=few("name", 32), sizes=few("got", 8), **seen_agg(),
    )  # fmt: skip


def _attacks(probes: pl.DataFrame, answers: pl.DataFrame) -> list[Evidence]:
    """Return `web_attack` and `web_probe`: one piece per pair each."""
    own = ~pl.col("what").is_in(["open proxy"]) | ~pl.col("from_inside")  # hosts of the site use its proxies
    probes = probes.filter(~pl.col("what").str.starts_with("tool ") & own).with_columns(tried=pl.col("what").is_in(TRIED))
    # A server that answers whatever is asked shows nothing by an answer.
    share = pl.col("ok").sum().over("target", "port") / pl.col("n").sum().over("target", "port")
    probes = probes.with_columns(any_ok=(share >= 0.5) & (length("paths").sum().over("target", "port") >= 4))
    probes = probes.join(
        answers.select(*_PAIR, total=pl.col("n"), total_ok=pl.col("ok")), on=_PAIR, how="left", nulls_equal=True, maintain_order="left"
    )
    catch_all = (pl.col("total") >= 5) & (pl.col("total_ok") >= 0.5 * pl.col("total"))
    counts = (pl.col("ok") > 0) & ~pl.col("any_ok") & ~catch_all.fill_null(value=False)
    probes = probes.with_columns(
        hit=counts & pl.col("what").is_in(SHOWN_BY_ANSWER),
        other_hit=counts,
        kinds=pl.lit(1, pl.Int64),
        weak=pl.col("what") == "script in a page",
        sure=pl.col("what").is_in(SURE),
        secrets=pl.when(pl.col("what") == "secrets").then(length("paths")).otherwise(0),
    )
    pairs = probes.sort("n", descending=True, maintain_order=True).group_by([*_PAIR, "tried", "from_inside", "to_inside"],
    maintain_order=True).agg(
        ok=pl.col("ok").sum(), what=pl.col("what"), kinds=pl.col("kinds").sum(),
        paths=pl.col("paths").explode().n_unique(), hit=pl.col("hit").any(),
        other_hit=pl.col("other_hit").any(), weak=pl.col("weak").all(), secrets=pl.col("secrets").sum(), sure=pl.col("sure").any(),
        uri=pl.col("uri").first(),
        ok_uri=pl.col("ok_uri").drop_nulls().first(), **seen_fold(),
    )  # fmt: skip
    several = (pl.col("kinds") >= 2) | (pl.col("paths") >= 3)
    broke_in = (
        pl.when("weak").then(0.3)
        .when("to_inside").then(pl.when(several).then(0.8).otherwise(0.6))
        .when(several | pl.col("sure")).then(0.6).otherwise(0.35)
    )  # fmt: skip
    # An administrator opens many pages of administration, and they answer; nobody opens several files of secrets.
    looked = (
        pl.when(pl.col("secrets") >= 3).then(pl.when("to_inside").then(0.6).otherwise(0.5))
        .when((pl.col("secrets") > 0) & pl.col("to_inside")).then(0.25)
        .when((pl.col("paths") >= 5) & (pl.col("ok") == 0) & pl.col("to_inside")).then(0.4).otherwise(0.0)
    )  # fmt: skip
    inner = pl.when("tried").then(broke_in).otherwise(looked)
    unanswered = pl.when("tried").then(0.2).when(pl.col("paths") >= 10).then(0.15).otherwise(0.0)
    reached = pl.when("hit").then(0.5).when("other_hit").then(0.3).otherwise(unanswered)
    outer = pl.when("to_inside").then(reached).otherwise(reached.clip(0.0, 0.3))
    pairs = pairs.with_columns(score=pl.when("from_inside").then(inner).otherwise(outer))
    return [piece("web_attack" if r["tried"] else "web_probe", r, _describe_attack(r), ", ".join(r["what"][:3])) for r in clearest(pairs)]


def _describe_attack(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} ({', '.join(row['what'][:4])}), such as {row['uri'][:80]}"
    if not row["ok"]:
        return f"{asked}; none was answered with content"
    doubt = "" if row["other_hit"] or row["from_inside"] else ", as the server answers almost anything"
    return f"{asked}; {row['ok']:,} answered with content{doubt}: {(row['ok_uri'] or '')[:80]}"


def _scanners(probes: pl.DataFrame) -> list[Evidence]:
    tools = probes.filter(pl.col("what").str.starts_with("tool ")).sort("n", descending=True, maintain_order=True)
    by_tool = tools.group_by("source", "what", maintain_order=True).agg(
        pl.col("target", "port", "from_inside", "to_inside").first(), servers=pl.col("target").n_unique(),
        ok=pl.col("ok").sum(), **seen_fold(),
    ).with_columns(tool=pl.col("what").str.strip_prefix("tool "))  # fmt: skip
    survey = pl.col("tool").is_in(SURVEYS)
    score = pl.when("from_inside").then(pl.when("to_inside").then(0.8).otherwise(0.7)).when(survey).then(0.0).otherwise(0.25)
    return [piece("web_scanner", r, _describe_scanner(r), SCANNERS[r["tool"]]) for r in clearest(by_tool.with_columns(score=score))]


def _describe_scanner(row: dict[str, Any]) -> str:
    asked = f"{counted(row['n'], 'request')}{span(row['first'], row['last'])} to {counted(row['servers'], 'server')}"
    return f"{asked} with the user agent of {SCANNERS[row['tool']]}; {row['ok']:,} answered with content"


def _guessed_paths(answers: pl.DataFrame) -> list[Evidence]:
    share = pl.col("refused") / pl.col("n")
    clear = ramp(pl.col("heads_n"), FEW_PATHS, MANY_PATHS) * 0.8
    below_one = ramp(pl.col("paths_n"), 300, 1000) * 0.4  # package mirrors and update services miss many files of one folder
    level = pl.max_horizontal(clear, below_one) * ramp(share, 0.4, 0.7)
    pairs = answers.with_columns(heads_n=distinct("heads", HASHES), paths_n=pl.min_horizontal(distinct("paths", HASHES), "refused")).filter(
        pl.col("refused") > FEW_PATHS
    )
    side = pl.when(~pl.col("from_inside")).then(0.35).when("to_inside").then(1.0).otherwise(0.75)
    return [piece("web_path_guessing", r, _describe_paths(r), r["target"]) for r in clearest(pairs.with_columns(score=level * side))]


def _describe_paths(row: dict[str, Any]) -> str:
    refused = f"{row['refused']:,} of {row['n']:,} answers{span(row['first'], row['last'])}"
    return f"about {row['paths_n']:,} different paths refused with {refused}; {row['ok']:,} answered with content"


def _guessed_logins(logins: pl.DataFrame) -> list[Evidence]:
    """Return logins that were tried many times. Proxies and Windows' own logins answer 401 once and 200 then: those are no guesses."""
    seconds = (pl.col("last") - pl.col("first")).dt.total_seconds().fill_null(0).clip(1)
    rate = pl.col("n") * 60 / seconds  # tries a minute
    fast = ramp(rate, 2, 6)  # a forgotten program retries slowly
    denied = pl.when(pl.col("denied") >= 0.75 * (pl.col("denied") + pl.col("served"))).then(pl.col("denied")).otherwise(0)
    same = pl.col("posts").ge(0.8 * pl.col("n")) & (length("sizes") <= 3) & pl.col("path").str.contains(_LOGIN)
    forms = pl.when(same & (pl.col("moved") <= 0.2 * pl.col("n"))).then(pl.col("posts")).otherwise(0)
    by_denial = ramp(denied, FEW_GUESSES, MANY_GUESSES) * 0.8 * (0.4 + 0.6 * fast)
    by_form = ramp(forms, FEW_GUESSES, MANY_GUESSES) * 0.7 * ramp(rate, 6, 30)  # a page that renews its session is slower
    level = pl.max_horizontal(by_denial, by_form)
    level = pl.max_horizontal(level, ramp(length("names"), 3, 10) * ramp(denied, 5, 20) * 0.8)
    opened = (pl.col("denied") + pl.col("ok") >= MANY_GUESSES) & pl.col("moved").is_between(1, 3) & same & pl.col("to_inside")
    side = pl.when("from_inside").then(pl.when("to_inside").then(1.0).otherwise(0.6)).otherwise(0.35)
    score = pl.when(opened & (level > 0)).then(pl.max_horizontal(level * side, pl.lit(0.6))).otherwise(level * side)
    return [
        piece("web_login_guessing", r, _describe_logins(r), f"{r['host'] or r['target']}{r['path'][:60]}")
        for r in clearest(logins.with_columns(score=score))
    ]


def _describe_logins(row: dict[str, Any]) -> str:
    end = f", {row['moved']:,} with a redirection, which often means a login" if row["moved"] else ", none with a redirection"
    tried = f"{row['n']:,} tries on {row['path'][:60]}{span(row['first'], row['last'])}"
    return f"{tried}: {row['denied']:,} denied (401, 403), {row['ok']:,} answered with 200{end}"
