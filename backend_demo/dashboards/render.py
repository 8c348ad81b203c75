"""Grafana's form of a dashboard, through Grafana's own library: grid, colours, legends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_options
from grafana_foundation_sdk.models import prometheus as prometheus_options

from backend_demo.dashboards.panel import COLUMNS, GOOD, Dashboard, Kind, Panel, PanelRow, Query
from backend_demo.dashboards.promql import START_TIME, Of

#: The data source that compose provisions.
SOURCE = models.DataSourceRef(type_val="prometheus", uid="prometheus")

#: Scrape interval, set here so that `$__rate_interval` does not depend on the data source's setting.
STEP = "5s"

#: Tag by which the dashboards link to each other.
TAG = "bdemo"

AnyPanel = timeseries.Panel | stat.Panel | heatmap.Panel | statetimeline.Panel | table.Panel


def text_of(board: Dashboard) -> str:
    """Returns the text of the file that Grafana reads."""
    return json.dumps(render(board), cls=JSONEncoder, indent=1, ensure_ascii=False) + "\n"


def render(board: Dashboard) -> models.Dashboard:
    """Returns the dashboard in Grafana's model."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .timezone("browser")
        .readonly()
        .refresh("5s")
        .time("now-5m", "now")
        .timepicker(dashboard.TimePicker().refresh_intervals(["5s", "10s", "30s", "1m", "5m"]))
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    if board.service:
        built.with_variable(_instances(board.service))
    rendered: models.Dashboard = built.build()
    rendered.panels = list(_panels(board.rows))
    return rendered


def _instances(service: str) -> dashboard.QueryVariable:
    """Returns the variable with which a service's instances are chosen."""
    return (
        dashboard.QueryVariable("instance")
        .label("Instance")
        .description(f"Which copies of {service} are shown.")
        .datasource(SOURCE)
        .query(f"label_values({Of(service)(START_TIME)}, instance)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")  # includes copies that start later
        .current(models.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _panels(rows: tuple[PanelRow, ...]) -> Iterator[models.Panel | models.RowPanel]:
    """Yields panels and headings, each with its number and its place in the grid."""
    number, y = 0, 0
    for row in rows:
        if row.heading:
            number += 1
            place = models.GridPos(x=0, y=y, w=COLUMNS, h=1)
            yield dashboard.Row(row.heading).id(number).grid_pos(place).build()
            y += 1
        x = 0
        for panel, width in zip(row.panels, row.widths(), strict=True):
            number += 1
            yield _panel(panel).id(number).grid_pos(models.GridPos(x=x, y=y, w=width, h=row.height)).build()
            x += width
        y += row.height


def _panel(panel: Panel) -> AnyPanel:
    built = _KINDS[panel.kind](panel)
    built.title(panel.title).description(panel.description).datasource(SOURCE).unit(panel.unit)
    for position, query in enumerate(panel.queries):
        built.with_target(_target(query, chr(ord("A") + position), panel))
        if query.color:
            fixed = {"mode": "fixed", "fixedColor": query.color}
            built.override_by_name(query.legend, [models.DynamicConfigValue(id_val="color", value=fixed)])
    # always set: Grafana's default is red from 80 on
    thresholds = panel.thresholds or ((None, GOOD),)
    steps = [models.Threshold(value=value, color=color) for value, color in thresholds]
    built.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.states:
        texts = {
            value: models.ValueMappingResult(text=text, color=color) for value, (text, color) in panel.states.items()
        }
        built.mappings([models.ValueMap(options=texts)])
    if panel.decimals is not None:
        built.decimals(panel.decimals)
    if panel.when_empty:
        built.no_value(panel.when_empty)
    if panel.opens:
        built.links([dashboard.DashboardLink("Show more").type(models.DashboardLinkType.LINK).url(_address(panel))])
    return built


def _address(panel: Panel) -> str:
    return f"/d/{panel.opens}?${{__url_time_range}}"


def _target(query: Query, letter: str, panel: Panel) -> Builder[prometheus_options.Dataquery]:
    target = (
        prometheus.Dataquery()
        .ref_id(letter)
        .expr(query.expression)
        .legend_format(query.legend)
        .interval(STEP)
        .datasource(SOURCE)
        .editor_mode(prometheus_options.QueryEditorMode.CODE)
    )
    if panel.kind == "table":
        return target.instant().format(prometheus_options.PromQueryFormat.TABLE)
    form = prometheus_options.PromQueryFormat
    return target.range().format(form.HEATMAP if panel.kind == "heatmap" else form.TIME_SERIES)


# -- kinds


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .calcs([])
    )


def _lines(panel: Panel) -> timeseries.Panel:
    bars = panel.kind == "bars"
    built = (
        timeseries.Panel()
        .min(0)
        .draw_style(options.GraphDrawStyle.BARS if bars else options.GraphDrawStyle.LINE)
        .line_width(1 if bars else 2)
        .fill_opacity(60 if bars else 30 if panel.stacked else 0)
        .show_points(options.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    )
    if panel.stacked:
        built.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    if panel.thresholds:
        built.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED))
    return built


def _stat(panel: Panel) -> stat.Panel:
    several = len(panel.queries) > 1
    return (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .color_mode(options.BigValueColorMode.VALUE)
        .graph_mode(options.BigValueGraphMode.AREA)
        .text_mode(options.BigValueTextMode.VALUE_AND_NAME if several else options.BigValueTextMode.VALUE)
        .orientation(options.VizOrientation.VERTICAL if several else options.VizOrientation.AUTO)
        .min(0)
    )


def _heatmap(panel: Panel) -> heatmap.Panel:
    return (
        heatmap.Panel()
        .calculate(False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_options.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .scale(heatmap_options.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
            .steps(64)
        )
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(options.HeatmapCellLayout.AUTO))
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .cell_values(heatmap.CellValues().unit("ops"))
        .cell_gap(1)
        .scale_distribution(common.ScaleDistributionConfig().type(options.ScaleDistribution.LINEAR))
        .mode(options.TooltipDisplayMode.SINGLE)
        .show_y_histogram()
        .hide_legend()
    )


def _states(panel: Panel) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .merge_values(True)
        .show_value(options.VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(70)
        .line_width(0)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.SINGLE))
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    )


def _table(panel: Panel) -> table.Panel:
    excluded = {"Time": True, "Value": True}
    return (
        table.Panel()
        .show_header(True)
        .filterable(True)
        .cell_height(options.TableCellHeight.SM)
        .with_transformation(models.DataTransformerConfig(id_val="organize", options={"excludeByName": excluded}))
    )


_KINDS: dict[Kind, Callable[[Panel], AnyPanel]] = {
    "lines": _lines,
    "bars": _lines,
    "stat": _stat,
    "heatmap": _heatmap,
    "states": _states,
    "table": _table,
}
