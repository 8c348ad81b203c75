"""How long a service may take, the same in both stacks."""

#: Time a service may be `starting`, seconds: it waits for its servers, and a killed Kafka needs up to 10 s.
PATIENCE_S = 60.0
#: Time `up` gives a service that has run for longer than that and does not answer before it restarts it, seconds.
HUNG_S = 10.0
#: Time `up` waits for an optional service once all others are ready, seconds.
OPTIONAL_S = 5.0
