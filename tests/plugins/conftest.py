"""The plugin's folder is on the path, as Airflow puts it there."""

import sys

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "plugins"))
