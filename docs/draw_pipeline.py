"""Draws docs/images/pipeline.svg: the way of a reading, from left to right."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).parent / "images" / "pipeline.svg"

STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1f2933; text-anchor: middle }
    .small { font-size: 11px; fill: #52606d }
    .server rect { fill: #e3e8ef; stroke: #7b8794 }
    .service rect { fill: #d5ebe4; stroke: #2f8f75 }
    .topic rect { fill: #fdf0d5; stroke: #c58b1b }
    .refused rect { fill: #fbe3e0; stroke: #c2453a }
    path { fill: none; stroke: #52606d; stroke-width: 1.5; marker-end: url(#tip) }
    path.refusal { stroke: #c2453a; stroke-dasharray: 4 3 }
    marker path { fill: #52606d; stroke: none; marker-end: none }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6eaf0 } .small { fill: #a9b4c0 }
      .server rect { fill: #303842; stroke: #8793a1 }
      .service rect { fill: #17453a; stroke: #4fb598 }
      .topic rect { fill: #4a3a14; stroke: #d9a441 }
      .refused rect { fill: #4d2320; stroke: #e0736a }
      path { stroke: #a9b4c0 } marker path { fill: #a9b4c0 } path.refusal { stroke: #e0736a }
    }
"""

#: Kind, first line, second line, centre x, centre y, width.
BOXES = (
    ("server", "sensors", "MQTT, QoS 1", 130, 110, 92),
    ("service", "MQTT proxy", "3.1, 3.1.1, 5.0", 275, 110, 104),
    ("topic", "sensor-data", "Kafka topic", 420, 110, 96),
    ("service", "collection", "decode, check", 540, 110, 96),
    ("topic", "src-data", "Kafka topic", 655, 110, 88),
    ("service", "processing", "plausible?", 770, 110, 96),
    ("topic", "processed-data", "Kafka topic", 895, 110, 122),
    ("service", "aggregation", "average of 10", 895, 200, 108),
    ("topic", "aggregated-data", "Kafka topic", 1040, 200, 128),
    ("service", "loader", "one transaction", 1040, 110, 108),
    ("server", "PostgreSQL", "two tables", 1175, 110, 100),
    ("service", "gateway", "REST, live, console", 1310, 110, 124),
    ("refused", "dead-letter", "what cannot be used, from any hop", 600, 260, 230),
)

ARROWS = (
    *("M176 110H221", "M327 110H370", "M468 110H490", "M588 110H609", "M699 110H720", "M818 110H832"),
    *("M956 110H984", "M895 132V176", "M949 200H974", "M1040 178V134", "M1094 110H1123", "M1225 110H1246"),
    "M895 88C895 30 1310 30 1310 86",
)
REFUSALS = (
    "M275 132C275 225 370 258 483 260",
    "M540 132V236",
    "M770 132C770 200 720 230 690 238",
    "M986 124C900 250 800 262 717 262",
)


def box(kind: str, name: str, note: str, x: int, y: int, width: int) -> str:
    lines = f'<text x="{x}" y="{y - 2 if note else y + 5}">{name}</text>'
    lines += f'<text class="small" x="{x}" y="{y + 13}">{note}</text>' if note else ""
    return (
        f'  <g class="{kind}"><rect x="{x - width // 2}" y="{y - 22}" width="{width}" height="44" rx="6"/>{lines}</g>\n'
    )


def picture() -> str:
    boxes = "".join(box(*each) for each in BOXES)
    arrows = "".join(f'  <path d="{line}"/>\n' for line in ARROWS)
    arrows += "".join(f'  <path class="refusal" d="{line}"/>\n' for line in REFUSALS)
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker>'
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1390 300" role="img" '
        'aria-label="The pipeline, from sensors to the gateway">\n'
        f"  <style>{STYLE}  </style>\n  <defs>{tip}</defs>\n{arrows}{boxes}"
        '  <text class="small" x="1100" y="34">live streams, straight from Kafka</text>\n</svg>\n'
    )


if __name__ == "__main__":
    FILE.write_text(picture())
