"""How a page looks: light and dark, wide and narrow, on paper."""

from __future__ import annotations

LIGHT = {
    "back": "#ffffff",
    "text": "#1b1f24",
    "faint": "#57616b",
    "line": "#d0d7de",
    "panel": "#f5f7f9",
    "empty": "#ebeef1",
    "virtual": "#1f6f8b",
    "native": "#b06f00",
    "lacks": "#8c959f",
    "odd": "#c2331f",
    "replaced": "#7a4fb5",
    "good": "#157347",
}
DARK = {
    "back": "#14181d",
    "text": "#e3e8ee",
    "faint": "#9aa6b2",
    "line": "#333c46",
    "panel": "#1c2229",
    "empty": "#262e37",
    "virtual": "#54b4d3",
    "native": "#e8ab3c",
    "lacks": "#74808c",
    "odd": "#ff7a66",
    "replaced": "#b493ea",
    "good": "#4fcf8d",
}
"""Text stands out from what lies behind it by 4.5 at least, and what is drawn by 3."""

FILLS = {
    "virtual": ("virtual", "there", "added"),
    "native": ("native", "late", "lacking", "incomplete"),
    "odd": ("odd", "overlap", "differs", "removed"),
    "replaced": ("replaced",),
}
"""Colours of what is drawn, by class."""


def _colours(colours: dict[str, str]) -> str:
    return "".join(f" --{name}: {value};" for name, value in colours.items())


_FILLS = "\n".join(
    f"{', '.join(f'svg .{kind}' for kind in kinds)} {{ fill: var(--{name}); }}"
    for name, kinds in FILLS.items()
)

DRAWN = (
    _FILLS
    + """
figure { margin: .4rem 0; }
.lane { display: grid; grid-template-columns: 7rem 1fr; gap: .6rem; align-items: center;
  margin: .25rem 0; }
.lane span, .axis, .ends { color: var(--faint); font-size: .875rem; }
svg.strip { display: block; width: 100%; height: 1.4rem; background: var(--empty);
  border-radius: 2px; }
svg.amounts { background: repeating-linear-gradient(135deg, var(--empty) 0 3px,
  var(--lacks) 3px 4px); }
svg.map { height: 4.5rem; }
.axis { position: relative; height: 2rem; margin-left: 7.6rem; }
.axis span { position: absolute; top: 0; padding-top: .45rem; white-space: nowrap;
  transform: translateX(-50%); }
.axis span::before { content: ""; position: absolute; top: 0; left: 50%; height: .4rem;
  border-left: 1px solid var(--faint); }
.axis .first { transform: none; } .axis .first::before { left: 0; }
.axis .last { transform: translateX(-100%); } .axis .last::before { left: 100%; }
.ends { display: flex; justify-content: space-between; gap: 1rem; }
.timeline .ends { margin-left: 7.6rem; }
@media (max-width: 40rem) { .lane { grid-template-columns: 1fr; gap: .1rem; }
  .axis, .timeline .ends { margin-left: 0; } .axis span:nth-child(even) { display: none; } }
@media print { svg, .key { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
)
"""Rules of what is drawn, on a page and in a notebook."""

STYLE = (
    f":root {{ color-scheme: light dark;{_colours(LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{{_colours(DARK)} }} }}\n"
    f"@media print {{ :root {{ color-scheme: light;{_colours(LIGHT)} }} }}\n"
    + DRAWN
    + """
:root { --jp-content-font-color0: var(--text); --jp-content-font-color2: var(--faint);
  --jp-content-font-color3: var(--faint); --jp-border-color2: var(--line);
  --jp-layout-color0: var(--back); --jp-layout-color1: var(--panel);
  --jp-layout-color2: var(--empty); --jp-layout-color3: var(--faint); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .8rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .2rem 0; }
.faint, .legend, caption, footer { color: var(--faint); font-size: .875rem; font-weight: 400; }
dl { margin: 0; }
dd { margin: 0; }
dt { color: var(--faint); }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }
dl.costs { display: flex; flex-wrap: wrap; gap: .2rem 2.5rem; margin-top: .3rem;
  font-size: .875rem; }
dl.costs div { display: flex; gap: .6rem; }
.variable { margin: 1.2rem 0 1.6rem; break-inside: avoid; }
.variable h3 { margin-bottom: 0; }
.variable svg { margin-top: .5rem; }
.key { display: inline-block; width: 1.4rem; height: .8rem; border-radius: 2px;
  margin: 0 .35rem 0 .9rem; vertical-align: -1px; }
.key:first-child { margin-left: 0; }
.key.virtual { background: var(--virtual); } .key.native { background: var(--native); }
.key.lacks { background: repeating-linear-gradient(135deg, var(--empty) 0 3px,
  var(--lacks) 3px 4px); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
caption { text-align: left; padding: .6rem 0 .2rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem 1rem .35rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--faint); font-weight: 600; white-space: nowrap; }
.wrap { min-width: 12rem; }
tr { break-inside: avoid; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .7rem;
  white-space: pre-wrap; font-size: .8125rem; user-select: all; }
code { font-family: ui-monospace, monospace; }
.passed { color: var(--good); } .failed { color: var(--odd); }
.name { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3rem; font-size: .8125rem;
  white-space: nowrap; }
ul { padding-left: 1.2rem; margin: .4rem 0; }
footer { margin-top: 3rem; }
.view { overflow-x: auto; }
@media (max-width: 40rem) {
  dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .4rem; }
  .folding, .folding tbody, .folding tr, .folding th, .folding td, .folding caption {
    display: block; }
  .folding thead { display: none; } .folding tr { border-bottom: 1px solid var(--line);
    padding: .4rem 0; } .folding th, .folding td { border: 0; padding: .05rem 0; }
  .folding td:empty { display: none; } .wrap { min-width: 0; }
  .folding td::before { content: attr(data-label) ": "; color: var(--faint); } }
@media print { :root { font-size: 11px; } body { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; } figure { break-inside: avoid; } }
"""
)

_IN_DARK = '[data-jp-theme-light="false"], .vscode-dark, html[data-theme="dark"]'
_IN_LIGHT = '[data-jp-theme-light="true"], .vscode-light, html[data-theme="light"]'

NOTEBOOK = (
    f".virtual-zarr {{{_colours(LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ .virtual-zarr {{{_colours(DARK)} }} }}\n"
    f":is({_IN_DARK}) .virtual-zarr {{{_colours(DARK)} }}\n"
    f":is({_IN_LIGHT}) .virtual-zarr {{{_colours(LIGHT)} }}\n"
    f".virtual-zarr {{\n{DRAWN}"
    + """\
& { max-width: 60rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
th { font-weight: 400; white-space: nowrap; opacity: .75; }
svg.strip { height: 1rem; }
.passed { color: var(--good); } .failed { color: var(--odd); } }
"""
)
"""Of what a notebook shows: nothing of the page around it is changed."""
