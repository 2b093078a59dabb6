"""File shares and remote procedure calls of benign conns in a Windows domain: logon scripts, documents, name and logon services."""

from __future__ import annotations

import numpy as np
import polars as pl

from mlids.synth.ordinary.names import SiteNames, later
from mlids.synth.profiles.base import Logs
from mlids.synth.profiles.logs import log_frame, serving

_SHARES = ("projects", "home$", "public", "software")
_DOCUMENTS = ("minutes.docx", "budget.xlsx", "plan.pptx", "drawing.pdf", "notes.txt", "photo.jpg")
# Named pipe, endpoint, operation.
_CALLS = (
    ("\\pipe\\lsass", "netlogon", "NetrLogonSamLogonEx"), ("\\pipe\\lsass", "lsarpc", "LsarLookupSids3"), ("\\pipe\\lsass", "samr", "SamrConnect5"),
    ("49669", "drsuapi", "DRSCrackNames"), ("\\pipe\\srvsvc", "srvsvc", "NetrShareGetInfo"),
)  # fmt: skip


def shares(conns: pl.DataFrame, names: SiteNames, rng: np.random.Generator) -> Logs:
    """Return rows of smb_mapping.log and smb_files.log for the conns of the service smb."""
    rows = serving(conns, "smb")
    n = rows.height
    if not n:
        return {}
    controller = rows["id.resp_h"].is_in(names.controllers).to_numpy()
    disk = np.where(controller, "SYSVOL", np.array(_SHARES)[rng.integers(0, len(_SHARES), n)])
    piped = rng.random(n) < np.where(controller, 0.4, 0.1)
    share = pl.Series(np.where(piped, "IPC$", disk))
    path = pl.select(pl.lit("\\\\") + rows["_name"].fill_null(rows["id.resp_h"]) + "\\" + share).to_series()
    mapping = log_frame(
        "smb_mapping", rows, ts=later(rows, 0.01 + rng.exponential(0.02, n)), path=path, share_type=pl.Series(np.where(piped, "PIPE", "DISK")),
        native_file_system=pl.select(pl.when(~pl.Series(piped)).then(pl.lit("NTFS"))).to_series(),
    )  # fmt: skip
    each = np.repeat(np.arange(n), np.where(piped, 0, np.minimum(rng.geometric(0.5, n), 6)))
    opened, m = rows[each], len(each)
    on = controller[each]
    name = np.where(on, "hq\\Policies\\gpt.ini", np.array(_DOCUMENTS)[rng.integers(0, len(_DOCUMENTS), m)])
    changed = opened["ts"].dt.offset_by("-9d")
    files = log_frame(
        "smb_files", opened, ts=later(opened, 0.05 + rng.exponential(1.0, m)), action="SMB::FILE_OPEN", path=path.gather(each), name=pl.Series(name.astype(object), dtype=pl.String),
        size=pl.Series(rng.integers(200, 4_000_000, m)), **{f"times__{t}": changed for t in ("modified", "accessed", "created", "changed")},
    )  # fmt: skip
    return {"smb_mapping": mapping, "smb_files": files}


def calls(conns: pl.DataFrame, rng: np.random.Generator) -> Logs:
    """Return rows of dce_rpc.log for the conns of the service dce_rpc."""
    rows = serving(conns, "dce_rpc")
    n = rows.height
    if not n:
        return {}
    mapper = (rows["id.resp_p"] == 135).to_numpy()
    call = rng.integers(0, len(_CALLS), n)
    pipe, endpoint, operation = (
        pl.Series(np.where(mapper, first, np.array([c[i] for c in _CALLS])[call]).astype(object), dtype=pl.String)
        for i, first in enumerate(("135", "epmapper", "ept_map"))
    )
    frame = log_frame(
        "dce_rpc", rows, ts=later(rows, 0.01 + rng.exponential(0.02, n)), rtt=pl.Series(rng.exponential(0.002, n)), named_pipe=pipe, endpoint=endpoint, operation=operation,
    )  # fmt: skip
    return {"dce_rpc": frame}
