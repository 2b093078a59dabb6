"""`mlids kibana`: dashboards and the rule in Kibana, which shows what the Elasticsearch sink writes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlids.settings import Settings, load_settings

if TYPE_CHECKING:
    from mlids.alerts.kibana.install import Objects


def kibana_install(*, overwrite: bool = False, with_rule: bool = True) -> list[dict[str, Any]]:
    """Import data views, saved searches and dashboards, and make the rule; return `name`, `well` and `done` of each.

    Raises SettingsError for a setting that is missing, DeniedError and StoreError when Kibana refuses all of it or does not answer.
    """
    from mlids.alerts.kibana.client import connect_to_kibana
    from mlids.alerts.kibana.install import install

    settings = load_settings()
    with closing(connect_to_kibana(settings)) as client:
        return [asdict(p) for p in install(client, _objects(settings), overwrite=overwrite, with_rule=with_rule)]


def kibana_check() -> list[dict[str, Any]]:
    """Return `name`, `well` and `done` of each part that Kibana should have. Nothing is written; raises what `kibana_install` does."""
    from mlids.alerts.kibana.client import connect_to_kibana
    from mlids.alerts.kibana.install import check

    settings = load_settings()
    with closing(connect_to_kibana(settings)) as client:
        return [asdict(p) for p in check(client, _objects(settings))]


def _objects(settings: Settings) -> Objects:
    from mlids.alerts.kibana.install import read_objects
    from mlids.assets import asset_folder

    return read_objects(asset_folder("deploy/kibana"), settings.elastic_prefix)
