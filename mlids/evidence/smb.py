"""Files and shares in smb_files.log and smb_mapping.log: programs copied to admin shares, stores of passwords, encrypted shares.

Zeek logs opens, renames and deletions of files; a file that is opened with a size of 0 has just been created.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from mlids.evidence.base import Collector, Evidence, Kind, SiteView
from mlids.evidence.grouping import clearest, counted, day, ends, fold_counted, from_row, main_target, named, summed
from mlids.evidence.tables import joined, ramp

_ADMIN = r"(^|\\)(admin|[a-z])\$$"
_PROGRAM = r"\.(exe|dll|sys|scr|ps1|bat|cmd|vbs|hta|msi)$"
# Deployment and management tools that copy their own programs to admin shares.
_DEPLOYMENT = (
    r"(?:adminarsenal|pdqdeploy|pdqinventory|ccmsetup|ccm\\|nessus_|lansweeper|klnagent|mcafee|trend micro|symantec|mpam-|ansible)"
)
# What a file says by its name, the first that fits. Scores are of one file.
_FILES: tuple[tuple[str, str, float, str], ...] = (
    # name, kind, score, pattern of the path below the share
    ("the password database of the domain", "smb_password_store", 0.85, r"(^|\\)ntds\.dit$"),
    ("registry hives with passwords", "smb_password_store", 0.8, r"(system32\\config\\(sam|security)|(^|\\)sam\.(save|hive|hiv|bak|reg)|(^|\\)(security|system)\.(save|hive|hiv))$"),
    ("a dump of lsass", "smb_password_store", 0.8, r"((^|\\)lsass[^\\]*\.(dmp|mdmp|zip)|\.kirbi)$"),
    ("passwords in group policy", "smb_group_policy", 0.2, r"\\preferences\\groups\\groups\.xml$"),
)  # fmt: skip
_ADMIN_FILES: tuple[tuple[str, str, float, str], ...] = (
    ("output files of wmiexec or smbexec", "smb_remote_execution", 0.9, r"(^|\\)(__\d{9,}(\.\d+)?|__output)$"),
    ("temporary hives as secretsdump leaves them", "smb_password_store", 0.8, r"^(windows\\)?(system32|temp)\\[a-z]{8}\.tmp$"),
    ("the service of PsExec", "smb_remote_execution", 0.6, r"(^|\\)(psexesvc|paexec[^\\]*|csexecsvc)\.exe$"),
    ("programs of a deployment tool", "smb_remote_execution", 0.25, _DEPLOYMENT + r".*" + _PROGRAM),
    ("programs", "smb_remote_execution", 0.7, _PROGRAM),
)  # fmt: skip
_PIPES: tuple[tuple[str, str, float, str], ...] = (
    ("pipes of PsExec", "smb_remote_execution", 0.6, r"^\\?(psexesvc|paexec)"),
    ("pipes of a renamed PsExec", "smb_remote_execution", 0.75, r"-(stdin|stdout|stderr)$|^\\?(remcom_|csexecsvc)"),
)  # fmt: skip
_EVERY = (*_FILES, *_ADMIN_FILES, *_PIPES)
# Endings that programs add to files all the time.
_USUAL = (
    "bak", "old", "tmp", "temp", "orig", "part", "partial", "filepart", "crdownload", "download", "gz", "zip", "7z", "bz2", "xz", "done", "ok",
    "processed", "archived", "archive", "log", "lock", "err", "error", "sync", "new", "txt", "pdf", "xml", "csv", "prev", "backup", "save",
)  # fmt: skip
_NOTE = r"(decrypt|ransom|recover|restore|unlock|how[-_ ]?to[-_ ]?(back|dec|rec|res|get)|^_readme\.txt$|read[-_ ]?me[-_ ]?(now|for|to))[^\\]*\.(txt|html?|hta)$"
FEW_RENAMED, MANY_RENAMED = 10, 60
FEW_NOTES, MANY_NOTES = 4, 15
_WANTED = {"action": pl.String(), "path": pl.String(), "name": pl.String(), "size": pl.Int64(), "prev_name": pl.String()}
_FILE_KEYS = ["source", "target", "what", "day"]
_RENAME_KEYS = ["source", "target", "ending", "before", "day"]
_NOTE_KEYS = ["source", "target", "note", "folder", "day"]
_SHARE_KEYS = ["source", "target", "share", "day"]
_NAMES = joined("names", 6)


class SmbEvidence(Collector):
    """Telling files, renames and admin shares by source, target and day."""

    reads = {
        "smb_files": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", *_WANTED),
        "smb_mapping": ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p", "path"),
    }
    kinds = (
        Kind(
            "smb_remote_execution", title="program copied to an admin share", sentence="copies programs to an admin share of {target}", technique="T1021.002",
            next_step="compare with software deployments; if there was none, isolate both hosts and look for a new service on the target",
        ),
        Kind(
            "smb_password_store", title="store of passwords read over the network", sentence="reads stores of passwords of {target}", technique="T1003",
            next_step="isolate the source; treat all passwords in this store as known to the intruder",
        ),
        Kind(
            "smb_group_policy", title="group policy with passwords read", sentence="reads passwords in group policies of {target}", technique="T1552.006",
            next_step="remove `cpassword` from Groups.xml in SYSVOL, and change the passwords in it",
        ),
        Kind(
            "smb_encryption", title="files on shares renamed or ransom notes written", sentence="renames files on shares of {target} as ransomware does", technique="T1486",
            next_step="disconnect the source now; compare a renamed file with its backup",
        ),
        Kind(
            "smb_admin_shares", title="admin shares", sentence="connects to admin shares", technique="T1021.002",
            next_step="ask who administers these hosts from the source, and which account was used",
        ),
    )  # fmt: skip

    def add(self, log: str, rows: pl.DataFrame) -> None:
        """Take a batch of smb_files.log or smb_mapping.log. Rows without path or name are ignored."""
        plain = [
            pl.col(c).str.replace_all(r"\\+", "\\").str.to_lowercase()
            for c in (["path"] if log == "smb_mapping" else ["path", "name", "prev_name"])
        ]
        if log == "smb_mapping":
            shares = ends(rows, {"path": pl.String()}).with_columns(*plain, day=day(one_day=self.one_day))
            shares = shares.filter(pl.col("path").str.contains(_ADMIN)).with_columns(share=pl.col("path").str.split("\\").list.last())
            fold_counted(self.tables, "shares", counted(shares, _SHARE_KEYS), _SHARE_KEYS)
            return
        files = ends(rows, _WANTED).with_columns(*plain, day=day(one_day=self.one_day))
        opened = pl.col("action").str.ends_with("OPEN") & (pl.col("size") == 0)
        files = files.with_columns(
            written=(opened | pl.col("action").str.contains("WRITE|RENAME")).fill_null(value=False),
            leaf=pl.col("name").str.extract(r"([^\\]+)$"),
        )
        self._files(files)
        self._renames(files)
        notes = files.filter(pl.col("written") & pl.col("leaf").str.contains(_NOTE)).with_columns(
            note=pl.col("leaf"), folder=pl.concat_str("path", "name", ignore_nulls=True).hash(seed=7)
        )
        fold_counted(self.tables, "notes", counted(notes, _NOTE_KEYS), _NOTE_KEYS, 20_000)

    def _files(self, files: pl.DataFrame) -> None:
        admin, pipe = pl.col("path").str.contains(_ADMIN), pl.col("path").str.ends_with("ipc$")
        # Programs count when they are copied there, everything else also when it is read.
        fits = [(name, pl.col("name").str.contains(pattern)) for name, _, _, pattern in _FILES]
        fits += [
            (name, admin & pl.col("name").str.contains(pattern) & (pl.col("written") | pl.lit("secretsdump" in name)))
            for name, _, _, pattern in _ADMIN_FILES
        ]
        fits += [(name, pipe & pl.col("name").str.contains(pattern)) for name, _, _, pattern in _PIPES]
        telling = files.with_columns(what=pl.coalesce(pl.when(found).then(pl.lit(name)) for name, found in fits)).drop_nulls("what")
        fresh = counted(telling, _FILE_KEYS, names=pl.col("name").unique(maintain_order=True).head(6))
        fold_counted(self.tables, "files", fresh, _FILE_KEYS, names=_NAMES)

    def _renames(self, files: pl.DataFrame) -> None:
        renamed = files.filter(pl.col("prev_name").is_not_null() & pl.col("name").str.starts_with(pl.col("prev_name") + "."))
        renamed = renamed.with_columns(
            ending=pl.col("name").str.slice(pl.col("prev_name").str.len_chars() + 1).str.head(64), before=pl.col("prev_name").str.extract(r"\.([a-z0-9]{1,8})$")
        ).filter(~pl.col("ending").is_in(_USUAL) & pl.col("ending").str.contains(r"^[^\\ ]{2,64}$") & ~pl.col("ending").str.contains(r"^\d+$"))  # fmt: skip
        fold_counted(self.tables, "renames", counted(renamed, _RENAME_KEYS), _RENAME_KEYS, 20_000)

    def evidence(self, site: SiteView) -> list[Evidence]:
        """Return what each source did on shares, the clearest first."""
        parts = {"files": _telling, "renames": _renamed, "notes": _noted, "shares": _shared}
        found = [row for name, judge in parts.items() if name in self.tables for row in judge(self.tables[name], site)]
        return sorted(found, key=lambda e: -e.score)


EVIDENCE = SmbEvidence


def _telling(files: pl.DataFrame, site: SiteView) -> list[Evidence]:
    of = {name: (kind, score) for name, kind, score, _ in _EVERY}
    found = summed(files, ["source", "what", "day"], target=main_target(), names=_NAMES).with_columns(
        kind=pl.col("what").replace_strict({n: k for n, (k, _) in of.items()}, return_dtype=pl.String),
        score=pl.col("what").replace_strict({n: s for n, (_, s) in of.items()}, return_dtype=pl.Float64),
    )
    # Computers read the group policies that apply to them: only what a single host reads is odd.
    readers = pl.col("source").n_unique().over("what")
    found = found.filter((pl.col("kind") != "smb_group_policy") | (readers == 1))
    many = pl.col("score") + (0.95 - pl.col("score")) * ramp(pl.col("targets"), 2, 12)
    found = found.with_columns(score=pl.when(pl.col("score") >= 0.5).then(many).otherwise(pl.col("score")))
    return [from_row(row["kind"], row, _describe_files(row), subject=row["target"] if row["targets"] == 1 else "") for row in clearest(found).iter_rows(named=True)]  # fmt: skip


def _describe_files(row: dict[str, Any]) -> str:
    where = f"on {row['target']}" if row["targets"] == 1 else f"on {row['targets']:,} hosts"
    return f"{row['what']} {where}: {named(row['names'])}"


def _renamed(renames: pl.DataFrame, site: SiteView) -> list[Evidence]:
    found = summed(renames, ["source", "ending", "day"], target=main_target(), types=pl.col("before").n_unique().cast(pl.Int64))
    # A program that marks its own files knows one type of file, ransomware many.
    score = 0.95 * ramp(pl.col("n"), FEW_RENAMED, MANY_RENAMED) * (0.45 + 0.55 * ramp(pl.col("types"), 1, 4))
    return [
        from_row("smb_encryption", row, f"{row['n']:,} files of {row['types']:,} types renamed to end in .{row['ending'][:40]} on {row['targets']:,} hosts", subject=row["ending"][:64])
        for row in clearest(found.with_columns(score=score)).iter_rows(named=True)
    ]  # fmt: skip


def _noted(notes: pl.DataFrame, site: SiteView) -> list[Evidence]:
    found = summed(notes, ["source", "note", "day"], target=main_target(), folders=pl.col("folder").n_unique().cast(pl.Int64))
    found = found.with_columns(score=0.9 * ramp(pl.col("folders"), FEW_NOTES - 1, MANY_NOTES))
    return [
        from_row("smb_encryption", row, f"{row['note'][:60]} written to {row['folders']:,} folders on {row['targets']:,} hosts", subject=row["note"][:64])
        for row in clearest(found).iter_rows(named=True)
    ]  # fmt: skip


def _shared(shares: pl.DataFrame, site: SiteView) -> list[Evidence]:
    found = summed(shares, ["source", "day"], target=main_target(), names=pl.col("share").unique(maintain_order=True))
    score = 0.2 + 0.4 * ramp(pl.col("targets"), 3, 20)
    found = found.with_columns(score=pl.when(site.inside(found["source"])).then(score).otherwise(pl.max_horizontal(score, 0.8)))
    return [
        from_row("smb_admin_shares", row, f"{row['n']:,} connections to {named(row['names'])} of {row['targets']:,} hosts", subject=row["target"] if row["targets"] == 1 else "", log="smb_mapping")
        for row in clearest(found).iter_rows(named=True)
    ]  # fmt: skip
