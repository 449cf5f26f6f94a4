# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Results of `bitwright explore` as one HTML file without scripts or links to anywhere, and as TOML for `compile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bitwright.compile.estimate import RESOURCES
from bitwright.compile.estimate.budget import WORDS
from bitwright.compile.explore.found import Found
from bitwright.search import Trial, pareto

STYLE = """body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:62em;padding:0 1em;color:#1b1f24}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .7em;border-bottom:1px solid #d5d9de;text-align:right}
td:first-child,th:first-child{text-align:left}.no{color:#a31515}.dim{color:#667}figure{margin:1em 0}
svg{max-width:100%}"""
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 380, 70, 50


def html(
    title: str, found: Sequence[Found], why: str, trials: Sequence[Trial], chosen: Trial | None, metric: str
) -> str:
    """The report."""
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{escape(why)}</p>", _backends(found),
    ]  # fmt: skip
    if trials:
        front = pareto(list(trials))
        parts += [
            f"<h2>Weight bits against {escape(metric)}</h2>",
            f"<p>{len(trials)} trials, {len(front)} on the Pareto front. Weights of the finished network were "
            "requantized without training; hardware figures are estimates.</p>",
            _plot(trials, front, chosen, metric), _trials(front, chosen, metric),
        ]  # fmt: skip
    for f in found:
        if f.estimate is not None:
            parts.append(_layers(f))
    return "\n".join(parts) + "</html>\n"


def _row(cells: Sequence[str], head: bool = False) -> str:
    tag = "th" if head else "td"
    return "<tr>" + "".join(f"<{tag}>{c}</{tag}>" for c in cells) + "</tr>"


def _backends(found: Sequence[Found]) -> str:
    names = [WORDS[r] for r in RESOURCES]
    rows = [_row(["backend", "frames/s", "latency us", *names, "energy proxy nJ", "proof"], head=True)]
    for f in found:
        e = f.estimate
        if e is None:
            rows.append(
                f'<tr><td>{f.backend}</td><td colspan=8 class=no style="text-align:left">{escape(f.reason)}</td></tr>'
            )
            continue
        used = [
            f"{s.low:,}–{s.high:,}" if s and s.low != s.high else f"{s.high:,}" if s else "?" for s in e.usage.spans()
        ]
        c = f.certificate
        proof = "optimal" if c.get("optimal") else f"gap {c.get('gap', 0):.1%}"
        rows.append(
            _row([f.backend, f"{e.fps:,.1f}", f"{e.latency / e.clock_mhz:,.1f}", *used, f"{e.energy_nj:,.0f}",
                  f'<span title="{escape(str(c.get("proof", "")))}">{proof}</span>'])
        )  # fmt: skip
    return f"<table>{''.join(rows)}</table>"


def _plot(trials: Sequence[Trial], front: Sequence[Trial], chosen: Trial | None, metric: str) -> str:
    """Bits of all weights against the metric."""
    shown = [t for t in trials if t.figure is not None]
    if not shown:
        return "<p class=no>No trial fits the board.</p>"
    x_of, y_of = _scale([t.weight_bits / 8192 for t in shown]), _scale([t.accuracy for t in shown])
    inner_w, inner_h = WIDTH - LEFT - 20, HEIGHT - BOTTOM - 20

    def at(t: Trial) -> tuple[float, float]:
        (x0, x1), (y0, y1) = x_of, y_of
        return LEFT + inner_w * (t.weight_bits / 8192 - x0) / (x1 - x0), 20 + inner_h * (y1 - t.accuracy) / (y1 - y0)

    marks = []
    best = {t.number for t in front}
    for t in shown:
        x, y = at(t)
        colour = "#c2410c" if chosen is not None and t.number == chosen.number else (
            "#1d4ed8" if t.number in best else "#9aa4b2"
        )  # fmt: skip
        text = (
            f"trial {t.number}: {metric} {t.accuracy:.4f}, {t.weight_bits / 8192:.1f} KiB, {t.fps or 0:,.1f} frames/s"
        )
        marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"><title>{escape(text)}</title></circle>')
    lines = []
    for k in range(5):
        y, x = 20 + inner_h * k / 4, LEFT + inner_w * k / 4
        value = y_of[1] - (y_of[1] - y_of[0]) * k / 4
        size = x_of[0] + (x_of[1] - x_of[0]) * k / 4
        lines.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e6ea"/>')
        lines.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>')
        lines.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:.1f}</text>')
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12" fill="#445" role="img">'
        + "".join(lines) + "".join(marks)
        + f'<text x="{LEFT + inner_w / 2}" y="{HEIGHT - 8}" text-anchor="middle">weights (KiB)</text>'
        f'<text x="14" y="14">{escape(metric)}</text></svg>'
        "<figcaption class=dim>Blue: Pareto front. Red: chosen. Each point has its figures as a tooltip.</figcaption>"
        "</figure>"
    )  # fmt: skip


def _scale(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 0.01)
    return low - margin, high + margin


def _trials(front: Sequence[Trial], chosen: Trial | None, metric: str) -> str:
    rows = [_row(["trial", metric, "weights KiB", "frames/s", "backend", "energy proxy nJ", "bits"], head=True)]
    for t in front:
        mark = " (chosen)" if chosen is not None and t.number == chosen.number else ""
        bits = " ".join(str(b) for b in t.bits.values())
        rows.append(
            _row([f"{t.number}{mark}", f"{t.accuracy:.4f}", f"{t.weight_bits / 8192:.1f}", f"{t.fps or 0:,.1f}",
                  t.backend,
                  f"{t.energy_nj or 0:,.0f}", bits])
        )  # fmt: skip
    return f"<table>{''.join(rows)}</table>"


def _layers(f: Found) -> str:
    assert f.estimate is not None
    rows = [_row(["layer", "folding", "MACs", "cycles", "DSP", "BRAM18", "LUT"], head=True)]
    for e in f.estimate.layers:
        spans = (e.usage.dsp, e.usage.bram18, e.usage.lut) if e.usage else (None, None, None)
        used = [f"{s.low:,}–{s.high:,}" if s and s.low != s.high else f"{s.high:,}" if s else "–" for s in spans]
        rows.append(_row([escape(e.name), escape(e.folding), f"{e.macs:,}", f"{e.cycles:,}", *used]))
    notes = "".join(f"<li>{escape(k)}: {escape(v)}</li>" for k, v in f.estimate.errors.items())
    unknown = "".join(f"<li>not known: {escape(k)}: {escape(v)}</li>" for k, v in f.estimate.unknown.items())
    return f"<h2>{f.backend}</h2><table>{''.join(rows)}</table><ul class=dim>{notes}{unknown}</ul>"


def toml(config: Mapping[str, Any], comment: Sequence[str]) -> str:
    """Options of a backend as TOML; tables of tables at most two deep."""
    lines = [f"# {c}" for c in comment]
    plain = {k: v for k, v in config.items() if not isinstance(v, Mapping)}
    lines += [f"{_key(k)} = {_value(v)}" for k, v in plain.items()]
    for name, table in config.items():
        if not isinstance(table, Mapping):
            continue
        lines += ["", f"[{_key(name)}]"]
        for key, value in table.items():
            if isinstance(value, Mapping):
                inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items())
                lines.append(f"{_key(key)} = {{ {inner} }}")
            else:
                lines.append(f"{_key(key)} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _key(text: str) -> str:
    plain = text.replace("-", "").replace("_", "").isalnum() and text.isascii()
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(v: Any) -> str:
    if isinstance(v, bool):
        return str(v).lower()
    if isinstance(v, str):
        return '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(v)
