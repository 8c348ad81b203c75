"""Variables of a user's shell that would change or break what services do, or that are nobody else's business."""

HOSTILE = {
    # Faust's settings, and Faust's own
    "APP_VERSION": "1.4.2",
    "BROKER_URL": "kafka://127.0.0.1:1",
    "CONSUMER_AUTO_OFFSET_RESET": "latest",
    "FAUST_LOOP": "none",
    "F_DATADIR": "/nonexistent",
    # libpq's
    "PGSSLMODE": "require",
    "PGSSLNEGOTIATION": "direct",
    "PGTARGETSESSIONATTRS": "standby",
    "PGGSSLIB": "none",
    "PGKRBSRVNAME": "nobody",
    "PGSERVICE": "none",
    "PGHOST": "192.0.2.1",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "none",
    "PGDATA": "/nonexistent",
    # Java's
    "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC",
    "JDK_JAVA_OPTIONS": "-Xmx1m",
    "_JAVA_OPTIONS": "-Xmx1m",
    "CLASSPATH": "/nonexistent",
    # of metrics, HTTP clients and servers
    "PROMETHEUS_MULTIPROC_DIR": "/nonexistent",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "MQTT_PROXY": "http://127.0.0.1:1",
    "FORWARDED_ALLOW_IPS": "*",
    "WEB_CONCURRENCY": "7",
    # secrets of others
    "AWS_SECRET_ACCESS_KEY": "a-key-of-the-users-cloud",
    "GITHUB_TOKEN": "a-token-of-the-users",
}
