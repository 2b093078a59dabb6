"""The follower's resume: a log that grows in pieces, with a restart from the stored position after any of them."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from mlids.ingest.cursor import Position
from mlids.ingest.follow import Follower, FollowOptions
from mlids.ingest.local import LocalStorage
from mlids.settings import Sensor
from tests.conftest import CONN_HEADER, conn_line

PIECES = 4


def check(data: bytes) -> None:
    """Follow the bytes after the first four as a log that is written in pieces; restarts must change nothing."""
    if len(data) <= PIECES:
        return
    cuts, text = data[:PIECES], data[PIECES:]
    whole = follow(text, cuts, restarts=False)
    pieces = follow(text, cuts, restarts=True)
    assert whole == pieces, f"without restarts {whole}, with restarts {pieces}"


@dataclass(frozen=True)
class Followed:
    """The rows as text, the number of rejected lines, and the offset at the end."""

    rows: list[str]
    rejected: int
    end: int


def follow(text: bytes, cuts: bytes, *, restarts: bool) -> Followed:
    """Return what is read of the text."""
    folder = Path(tempfile.mkdtemp(prefix="mlids-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    rows: list[str] = []
    rejected = 0
    stored: Position | None = None
    follower: Follower | None = None
    try:
        (folder / "current").mkdir()
        path = folder / "current" / "conn.log"
        path.touch()
        sensor = Sensor(name="hq", kind="folder", logs=str(folder))
        ends = sorted({cut * len(text) // 255 for cut in cuts} | {len(text)})
        for begin, end in zip([0, *ends], ends, strict=False):
            with path.open("ab") as out:
                out.write(text[begin:end])
            if follower is None:
                follower = Follower(LocalStorage(), sensor, stored, FollowOptions(check_s=0, archive_wait_s=0))
            for batch in follower.poll():
                # A column that is unset throughout may be there or not.
                known = ({k: v for k, v in row.items() if v is not None and k != "line"} for row in batch.frame.to_dicts())
                rows += [json.dumps(row, default=str, sort_keys=True) for row in known]
            if follower.position is not None:
                stored = Position(**json.loads(json.dumps(asdict(follower.position))))
            if restarts or end == len(text):
                rejected += follower.rejected
                follower.close()
                follower = None
        return Followed(rows, rejected, stored.offset if stored else 0)
    finally:
        if follower is not None:
            follower.close()
        shutil.rmtree(folder, ignore_errors=True)


def seeds() -> dict[str, bytes]:
    """Return logs that grow in several ways."""
    rows = CONN_HEADER.encode() + b"".join(conn_line(f"C{n}").encode() for n in range(4))
    json_rows = b"".join(b'{"ts":1.5,"uid":"C%d","id.orig_h":"10.0.0.1"}\n' % n for n in range(4))
    texts = {
        "tsv": rows,
        "json": json_rows,
        "two-headers": rows + CONN_HEADER.replace("\tuid", "\tid2").encode() + rows[-200:],
        "bad": rows + b"x\n#close\n",
    }
    return {f"{name}-{cuts.hex()}": cuts + text for name, text in texts.items() for cuts in (b"\x00\x10\x80\xf0", b"\xc8\xc9\xca\xff")}
