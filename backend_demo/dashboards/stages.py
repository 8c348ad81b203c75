"""What the dashboards of proxy, bridge, collection, processing, aggregation and loader show."""

from __future__ import annotations

from backend_demo import metrics
from backend_demo.dashboards import common, panel
from backend_demo.dashboards.panel import Panel, PanelRow, Query, heatmap, quantiles
from backend_demo.dashboards.promql import Of, highest, name_of, per_minute, rate, total


def _speed(of: Of) -> tuple[PanelRow, ...]:
    return (
        PanelRow((common.hop_quantiles(of), common.hop_heatmap(of), common.batch_quantiles(of)), heading="How fast?"),
        PanelRow((common.batches(of), common.batch_size(of))),
    )


def _lag(of: Of) -> PanelRow:
    by = ("topic", "partition")
    return PanelRow((common.lag_records(of, *by), common.lag_seconds(of, *by)), heading="Does anything pile up?")


def stage_glance(of: Of) -> tuple[Panel, ...]:
    return common.done(of), common.per_record(of), common.oldest_waiting(of), common.refused(of)


def _stage(moved: Panel, of: Of, *more: Panel) -> tuple[PanelRow, ...]:
    """Returns the rows of a service that reads one topic and writes another."""
    middle = (PanelRow(more),) if more else ()
    return (
        PanelRow((moved, common.done_by_copy(of), common.dead_letters(of, "reason")), heading="What goes through?"),
        *middle,
        *_speed(of),
        _lag(of),
    )


def door_glance(of: Of) -> tuple[Panel, ...]:
    in_flight = Panel(
        "stat",
        "In flight",
        panel.COUNT,
        (Query(total(of(metrics.mqtt_in_flight)), "in flight"),),
        "Messages that wait for Kafka's acknowledgement.",
        decimals=0,
    )
    return common.done(of, panel.MESSAGES), common.per_record(of), in_flight, common.refused(of)


def mqtt(of: Of) -> tuple[PanelRow, ...]:
    """The bridge's rows, and what only the proxy has: clients."""
    connections = Panel(
        "lines",
        "Connections",
        panel.COUNT,
        (Query(total(of(metrics.mqtt_connections), "instance"), "{{instance}}"),),
        "Open connections of MQTT clients. At mqtt_connections, further clients are told to come back later.",
    )
    refused = Panel(
        "bars",
        "Clients refused a minute",
        panel.A_MINUTE,
        (Query(f"{per_minute(of(metrics.mqtt_refused), 'reason')} > 0", "{{reason}}"),),
        "Clients that were not let in or were disconnected, by the name of MQTT 5's reason code.",
        stacked=True,
        when_empty="no client was refused",
    )
    slow = common.counted(
        of,
        panel.A_MINUTE,
        "Subscribers dropped a minute",
        "Subscribers that were disconnected because they did not read what they had subscribed to.",
        dropped=metrics.mqtt_subscribers_dropped,
    )
    return (*bridge(of), PanelRow((connections, refused, slow), heading="Who is connected?"))


def bridge(of: Of) -> tuple[PanelRow, ...]:
    moved = common.counted(
        of,
        panel.MESSAGES,
        "Messages a second",
        "MQTT messages received, and messages acknowledged after Kafka's acknowledgement.",
        received=metrics.mqtt_received,
        acknowledged=metrics.mqtt_acknowledged,
    )
    in_flight = Panel(
        "lines",
        "Messages in flight",
        panel.COUNT,
        (Query(highest(of(metrics.mqtt_in_flight), "instance"), "{{instance}}"),),
        "Messages that wait for Kafka's acknowledgement. At the limit, sensors have to wait.",
    )
    again = common.counted(
        of,
        panel.A_MINUTE,
        "Messages sent again, a minute",
        "Messages that were marked as sent before, as after a crash, and those of them that were still held.",
        redelivered=metrics.mqtt_redelivered,
        still_held=metrics.mqtt_repeated,
    )
    return (
        PanelRow((moved, in_flight, again), heading="What goes through?"),
        PanelRow((common.dead_letters(of, "reason"), common.batches(of), common.batch_size(of))),
        PanelRow((common.hop_quantiles(of), common.hop_heatmap(of), common.batch_quantiles(of)), heading="How fast?"),
    )


def collection(of: Of) -> tuple[PanelRow, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings a second",
        "Records received, readings decoded, readings sent on. An array of readings is one record.",
        received=metrics.values_received,
        collected=metrics.values_collected,
        sent=metrics.values_sent,
    )
    return _stage(moved, of)


def processing(of: Of) -> tuple[PanelRow, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings a second",
        "Readings received, plausible readings, records sent on.",
        received=metrics.values_received,
        processed=metrics.values_processed,
        sent=metrics.values_sent,
    )
    return _stage(moved, of)


def aggregation(of: Of) -> tuple[PanelRow, ...]:
    moved = common.counted(
        of,
        panel.RECORDS,
        "Readings and averages a second",
        "Readings received, readings averaged, and records sent on: averages, averages changed by late readings, "
        "and repairs.",
        received=metrics.values_received,
        aggregated=metrics.values_aggregated,
        sent=metrics.values_sent,
    )
    unusual = common.counted(
        of,
        panel.A_MINUTE,
        "Unusual readings, a minute",
        "Readings that had arrived before, arrived with another value, arrived after newer ones, or arrived so "
        "late that the loader must compute their averages.",
        duplicates=metrics.duplicates,
        conflicts=metrics.conflicts,
        late=metrics.late_readings,
        repairs=metrics.repairs,
    )
    sensors = Panel(
        "lines",
        "Sensors",
        panel.COUNT,
        (Query(total(of(metrics.sensors), "state"), "{{state}}"),),
        "Sensors that send, and sensors that fell silent within the last hour.",
    )
    sensors_by_copy = Panel(
        "lines",
        "Active sensors, by copy",
        panel.COUNT,
        (Query(total(of(metrics.sensors, state="active"), "instance"), "{{instance}}"),),
        "A sensor belongs to one partition, and a partition to one copy.",
    )
    return _stage(moved, of, unusual, sensors, sensors_by_copy)


def loader_glance(of: Of) -> tuple[Panel, ...]:
    return common.stored(of), common.end_to_end(of), common.oldest_waiting(of), common.refused(of)


def loader(of: Of) -> tuple[PanelRow, ...]:
    moved = common.counted(
        of,
        panel.ROWS,
        "Rows a second",
        "New rows of readings, and new or changed rows of averages.",
        readings=metrics.values_loaded,
        averages=metrics.averages_loaded,
    )
    unusual = common.counted(
        of,
        panel.A_MINUTE,
        "Unusual readings, a minute",
        "Readings that the table already had, with the same value or another one, and readings that arrived so late "
        "that their averages were computed from the table.",
        duplicates=metrics.duplicates,
        conflicts=metrics.conflicts,
        repairs=metrics.repairs,
    )
    gaps = common.counted(
        of,
        panel.A_MINUTE,
        "Gaps in the log, a minute",
        "How often Kafka's log began after the last loaded record: records are gone. Anything but 0 is a loss.",
        gaps=metrics.log_gaps,
    )
    first, *rest = _stage(moved, of, unusual, gaps)
    latency = tuple(
        PanelRow(
            (
                quantiles(
                    f"Sensor to {what}: quantiles",
                    f"From the sensor's time to the committed {what}: 50 %, 95 % and 99 % took less.",
                    of,
                    metrics.end_to_end,
                    thresholds=common.LATENCY_LIMITS,
                    table=table,
                ),
                heatmap(
                    f"Sensor to {what}: all",
                    "The same for every row: the darker, the more rows took that long.",
                    of,
                    metrics.end_to_end,
                    table=table,
                ),
            ),
            heading=heading,
        )
        for what, table, heading in (("row", "temperature", "How long since the sensor?"), ("average", "average", ""))
    )
    database = PanelRow(
        (
            quantiles(
                "Rows per transaction",
                "Rows of both tables in one transaction. It grows with the load.",
                of,
                metrics.database_rows,
                unit=panel.COUNT,
            ),
            quantiles(
                "Seconds per transaction",
                "Duration of a transaction, retries included.",
                of,
                metrics.database_seconds,
            ),
            Panel(
                "lines",
                "Transactions a second, by copy",
                panel.OPERATIONS,
                (Query(rate(of(f"{name_of(metrics.database_seconds)}_count"), "instance"), "{{instance}}"),),
                "Committed transactions.",
            ),
        ),
        heading="PostgreSQL",
    )
    return first, *latency, database, *rest
