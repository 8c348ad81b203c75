"""Requests made from the gateway's OpenAPI document."""

import os

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from backend_demo.gateway.app import create_app
from backend_demo.settings import Settings

#: Of each operation; the same ones in every run. More, and other ones: `EXAMPLES=1000 pytest ...`.
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))

#: A schema cannot say that a range must not end before it begins.
TOO_STRICT = [positive_data_acceptance]

#: These never end by themselves, or publish: test_live.py, test_traces.py and test_dlq_routes.py have them.
ENDLESS = ["/v1/stream", "/v1/traces", "/v1/dead-letters/replay", "/v1/dead-letters/dismiss"]


@schemathesis.serializer("application/x-ndjson", "text/csv")
def _text(context: schemathesis.SerializationContext, value: object) -> object:
    """What is generated for a text is the body as it is."""
    return value.encode() if isinstance(value, str) else str(value).encode()


schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi()).exclude(path=ENDLESS)

generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
