"""TLS handshakes of benign conns: server names, certificates of known CAs, and the few exceptions that every site has."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from mlids.synth.ordinary.names import SiteNames, later
from mlids.synth.profiles.base import Logs
from mlids.synth.profiles.logs import file_ids, log_frame, serving

# Subject of an intermediate CA, and the days for which it issues.
_CAS = (
    ("CN=R11,O=Let's Encrypt,C=US", 90), ("CN=WR2,O=Google Trust Services,C=US", 84), ("CN=DigiCert TLS RSA SHA256 2020 CA1,O=DigiCert Inc,C=US", 397),
    ("CN=Sectigo RSA Domain Validation Secure Server CA,O=Sectigo Limited,L=Salford,ST=Greater Manchester,C=GB", 397),
)  # fmt: skip
_OWN_CA, _SELF = len(_CAS), len(_CAS) + 1
_OWN_DAYS, _SELF_DAYS = 730, 182  # Windows renews its own certificate for RDP twice a year
_DEVICE_PORTS = (8883, 5223, 8443)


def handshakes(conns: pl.DataFrame, names: SiteNames, rng: np.random.Generator) -> Logs:
    """Return rows of ssl.log and x509.log for the conns of the service ssl, described as by `SiteNames`.

    Without a server name are some devices and old clients, whose servers are in dns.log all the same. TLS 1.3 and resumed
    sessions hide certificates. Certificates of remote desktops and of some home servers are self-signed; those of inside
    servers come from a CA of the site, which Zeek does not know, and those of inside devices are self-signed.
    """
    rows = serving(conns, "ssl")
    n = rows.height
    if not n:
        return {}
    port, service = rows["id.resp_p"].to_numpy(), rows["service"]
    quic, rdp = service.str.contains("quic").to_numpy(), service.str.contains("rdp").to_numpy()
    own = ~rows["id.resp_h"].is_in(names.servers).to_numpy()  # a device with a certificate of its own
    inside = (rows["local_orig"] & rows["local_resp"]).fill_null(value=False).to_numpy()
    pair, server = rows["_orig"].to_numpy() + 31 * rows["_resp"].to_numpy(), rows["_resp"].to_numpy()
    device = np.isin(port, _DEVICE_PORTS)
    bare = ~inside & ((device & (pair % 6 == 0)) | (pair % 200 == 0))
    name = rows.select(pl.when(~pl.Series(bare)).then("_name")).to_series()
    modern = quic | ~(rdp | inside | device | (server % 4 == 0))
    spoke = ((rows["orig_bytes"].fill_null(0) > 0) & (rows["resp_bytes"].fill_null(0) > 0)).to_numpy()
    resumed = (rng.random(n) < 0.3) & ~rdp & spoke
    seen = ~modern & ~resumed & spoke
    issuer = np.where(rdp | (inside & own) | ((port == 8443) & (server % 3 == 0)), _SELF, np.where(inside, _OWN_CA, server % len(_CAS)))
    ssl = log_frame(
        "ssl", rows, ts=later(rows, rng.exponential(0.02, n)),
        version=_either(modern, "TLSv13", "TLSv12"), cipher=_either(modern, "TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        curve="x25519", server_name=name, resumed=pl.Series(resumed), established=pl.Series(spoke),
        next_protocol=pl.select(pl.when(pl.Series(quic)).then(pl.lit("h3")).when(pl.Series(modern & (port == 443))).then(pl.lit("h2"))).to_series(),
        ssl_history=pl.select(pl.when(pl.Series(seen)).then(pl.lit("CsxknGIti")).when(pl.Series(spoke)).then(pl.lit("CsiI")).otherwise(pl.lit("C"))).to_series(),
    )  # fmt: skip
    certificates = _certificates(rows.filter(pl.Series(seen)), ssl.filter(pl.Series(seen))["ts"], issuer[seen], rng)
    return {"ssl": _with_certificates(ssl, seen, name, certificates)} | ({"x509": certificates["x509"]} if seen.any() else {})


def _either(which: np.ndarray, yes: str, no: str) -> pl.Series:
    return pl.Series(np.where(which, yes, no))


def _with_certificates(ssl: pl.DataFrame, seen: np.ndarray, name: pl.Series, certificates: Logs) -> pl.DataFrame:
    """Return ssl.log with the columns of the certificates on the rows that show them."""
    chains = certificates["chains"].with_columns(_row=pl.Series(np.flatnonzero(seen)).cast(pl.UInt32))
    matched = ssl.drop(chains.columns, strict=False).with_row_index("_row").join(chains, on="_row", how="left", maintain_order="left")
    matched = matched.with_columns(sni_matches_cert=pl.when(pl.col("validation_status").is_not_null() & name.is_not_null()).then(
        pl.col("validation_status") != "self signed certificate"
    ))  # fmt: skip
    return matched.select(ssl.columns)


def _certificates(rows: pl.DataFrame, ts: pl.Series, issuer: np.ndarray, rng: np.random.Generator) -> Logs:
    """Return `x509`, one row for each certificate, and `chains`, the columns of ssl.log for each of the handshakes."""
    n = rows.height
    days = np.select([issuer == _OWN_CA, issuer == _SELF], [_OWN_DAYS, _SELF_DAYS], np.array([d for _, d in _CAS] + [0, 0])[issuer])
    # Each server renews on its own days, when two thirds of the time are over.
    every, today = days * 2 // 3, ts.dt.epoch("s").to_numpy() // 86_400
    shift = rows["_resp"].to_numpy().astype(np.int64) % np.maximum(every, 1)
    period = (today - shift) // np.maximum(every, 1)
    begins = pl.Series((period * every + shift) * 86_400_000_000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    of = pl.DataFrame({"a": rows["id.resp_h"], "p": period}).select(pl.concat_str("a", pl.lit("/"), "p")).to_series()
    prints = _fingerprints(of)
    subjects = [*(s for s, _ in _CAS), "CN=Site Issuing CA,O=Site"]
    common = rows["_name"].fill_null(rows["id.resp_h"])
    subject = pl.select("CN=" + common).to_series()
    own = issuer == _SELF
    by = pl.Series([*subjects, None], dtype=pl.String).gather(issuer)
    leaf_ids, ca_ids = file_ids(n, rng), file_ids(n, rng)
    ca_prints = pl.Series([hashlib.sha256(s.encode()).hexdigest() for s in subjects] + [None], dtype=pl.String).gather(issuer)
    leaf = log_frame(
        "x509", rows.select("ts"), ts=ts, id=leaf_ids, fingerprint=prints, certificate__version=3, certificate__serial=prints.str.slice(0, 32).str.to_uppercase(),
        certificate__subject=subject, certificate__issuer=by.fill_null(subject) if n else by, certificate__not_valid_before=begins,
        certificate__not_valid_after=begins + pl.Series(days.astype(np.int64) * 86_400_000_000).cast(pl.Duration("us")), **_KEY,
        san__dns=pl.DataFrame({"n": common, "own": own}).select(pl.when(~pl.col("own")).then(pl.concat_list("n"))).to_series(),
        basic_constraints__ca=False, host_cert=True, client_cert=False,
    )  # fmt: skip
    above = ~own
    upper = log_frame(
        "x509", rows.filter(pl.Series(above)).select("ts"), ts=ts.filter(pl.Series(above)), id=ca_ids.filter(pl.Series(above)), fingerprint=ca_prints.filter(pl.Series(above)),
        certificate__version=3, certificate__serial=ca_prints.filter(pl.Series(above)).str.slice(0, 32).str.to_uppercase(),
        certificate__subject=by.filter(pl.Series(above)), certificate__issuer="CN=Root CA,O=Trust", certificate__not_valid_before=_ROOT_FROM,
        certificate__not_valid_after=_ROOT_TO, **_KEY, basic_constraints__ca=True, basic_constraints__path_len=0, host_cert=False, client_cert=False,
    )  # fmt: skip
    pairs = pl.DataFrame(
        {"p": prints, "cp": ca_prints, "i": leaf_ids, "ci": ca_ids, "own": own}, schema_overrides={"p": pl.String, "cp": pl.String}
    )
    status = np.select([own, issuer == _OWN_CA], ["self signed certificate", "unable to get local issuer certificate"], "ok")
    chains = pairs.select(
        pl.when("own").then(pl.concat_list("p")).otherwise(pl.concat_list("p", "cp")).alias("cert_chain_fps"),
        pl.when("own").then(pl.concat_list("i")).otherwise(pl.concat_list("i", "ci")).alias("cert_chain_fuids"),
        pl.Series("validation_status", status.astype(object), dtype=pl.String),
    )
    return {"x509": pl.concat([leaf, upper]).sort("ts", maintain_order=True), "chains": chains}


def _fingerprints(of: pl.Series) -> pl.Series:
    """Return the SHA-256 of each text."""
    different = of.unique()
    return of.replace_strict(
        different, pl.Series([hashlib.sha256(t.encode()).hexdigest() for t in different], dtype=pl.String), return_dtype=pl.String
    )


_ROOT_FROM = pl.select(pl.datetime(2021, 9, 4, time_zone="UTC")).item()
_ROOT_TO = pl.select(pl.datetime(2030, 9, 15, time_zone="UTC")).item()
_KEY = {
    "certificate__key_alg": "rsaEncryption", "certificate__sig_alg": "sha256WithRSAEncryption", "certificate__key_type": "rsa",
    "certificate__key_length": 2048, "certificate__exponent": "65537",
}  # fmt: skip
