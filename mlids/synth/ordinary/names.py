"""The host names of a synthetic site, and of the Internet servers that its hosts contact. A name belongs to one address."""

from __future__ import annotations

import zlib

import numpy as np
import polars as pl

from mlids.synth.ordinary import devices
from mlids.synth.site import Site

_WORDS = ("www", "mail", "cdn", "api", "img", "login", "static", "update", "news", "files")
_ZONES = 300


def name_of(address: str) -> str:
    """Return the host name of an Internet server; the same one every day."""
    number = zlib.crc32(address.encode())
    return f"{_WORDS[number // _ZONES % len(_WORDS)]}.example-{number % _ZONES}.com"


def numbers_of(texts: pl.Series) -> np.ndarray:
    """Return uint64[n]: a number for each text that is the same on every machine; 0 for null."""
    different = texts.unique().drop_nulls()
    numbers = pl.Series([zlib.crc32(t.encode()) for t in different], dtype=pl.UInt64)
    return texts.replace_strict(different, numbers, default=0, return_dtype=pl.UInt64).to_numpy()


class SiteNames:
    """Which addresses have a name. Peers of games, calls and file sharing have none, as nobody looks them up."""

    def __init__(self, site: Site) -> None:
        net, own = site.clients.net, {*site.servers, *site.office, *site.office6, site.backup, *site.monitor, *site.nat}
        outside = [*site.web, *site.pools["cloud"], *site.pools["time_outside"], *site.pools["time"], *net.web, *net.cdn, *net.cloud]
        self.domain = f"{site.name}.corp"
        self.outside = {a: name_of(a) for a in outside if a not in own}
        self.inside = {a: f"srv{i + 1}.{self.domain}" for i, a in enumerate(site.servers)} | {site.backup: f"backup.{self.domain}"}
        self.public = {a: f"www{i + 1}.example-{site.name}.com" for i, a in enumerate(site.public)}
        self.devices = {devices.nas(site): f"nas.{self.domain}"}  # the printer is contacted by its address
        every = self.outside | self.inside | self.public | self.devices
        self._addresses, self._names = pl.Series(list(every), dtype=pl.String), pl.Series(list(every.values()), dtype=pl.String)
        self.servers, self.monitors = list(site.servers), list(site.monitor)
        self.controllers = list(site.pools["directory"])

    def described(self, conns: pl.DataFrame) -> pl.DataFrame:
        """Return the conns with `_name` of the responder (null: none), and numbers of both ends (`_orig`, `_resp`) to choose by."""
        resp = conns["id.resp_h"]
        return conns.with_columns(
            resp.replace_strict(self._addresses, self._names, default=None, return_dtype=pl.String).alias("_name"),
            pl.Series("_orig", numbers_of(conns["id.orig_h"])),
            pl.Series("_resp", numbers_of(resp)),
        )


def later(rows: pl.DataFrame, seconds: np.ndarray) -> pl.Series:
    """Return the starts of the conns moved by seconds, at most to their ends."""
    lasted = rows["duration"].fill_null(0.0).to_numpy()
    return rows["ts"] + pl.Series((np.minimum(seconds, lasted) * 1e6).astype(np.int64)).cast(pl.Duration("us"))
