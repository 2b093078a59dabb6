"""The peer: ZAT reads a conn.log into pandas, PyOD's PCA scores it, the top 20 are printed. It does less than `mlids score`."""

import sys

from pyod.models.pca import PCA
from zat.dataframe_to_matrix import DataFrameToMatrix
from zat.log_to_dataframe import LogToDataFrame

FIELDS = [
    "id.resp_p", "proto", "service", "duration", "orig_bytes", "resp_bytes", "conn_state", "missed_bytes",
    "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes",
]  # fmt: skip

frame = LogToDataFrame().create_dataframe(sys.argv[1], ts_index=False)
columns = frame[FIELDS].copy()
for name in ("service", "proto", "conn_state"):
    columns[name] = columns[name].astype("category")
columns["duration"] = columns["duration"].dt.total_seconds() if hasattr(columns["duration"], "dt") else columns["duration"]
matrix = DataFrameToMatrix().fit_transform(columns.fillna({n: 0 for n in FIELDS if columns[n].dtype.kind in "iuf"}))
model = PCA(contamination=0.01).fit(matrix)
top = model.decision_scores_.argsort()[::-1][:20]
print(frame.iloc[top][["uid", "id.orig_h", "id.resp_h", "id.resp_p"]])
