"""Kibana's saved objects (data views, saved searches, dashboards) and the rule: their import over HTTP. No sink and no store enters."""
