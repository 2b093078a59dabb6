"""What Elasticsearch must have before alerts are written: templates, policy, roles and the writer's key. No sink and no store enters."""
