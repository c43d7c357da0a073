"""The page of a report: one template and its style. No script, nothing from elsewhere."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --faint: #5c6670; --line: #d5dae0;
  --panel: #f5f7f9; --there: #1f6f8b; --virtual: #1f6f8b; --native: #d98e04; --missing: #e4e7eb;
  --odd: #c2331f; --replaced: #7a4fb5; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --text: #e3e8ee; --faint: #9aa6b2;
  --line: #333c46; --panel: #1c2229; --there: #54b4d3; --virtual: #54b4d3; --native: #e8ab3c;
  --missing: #39424d; --odd: #ff7a66; --replaced: #b493ea; --good: #4fcf8d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; background: var(--back);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dl.facts dt { color: var(--faint); }
dl.facts dd { margin: 0; }
.lane { display: grid; grid-template-columns: 9rem 1fr; gap: .6rem; align-items: center;
  margin: .25rem 0; }
.lane span { color: var(--faint); font-size: .875rem; }
svg.strip { display: block; width: 100%; height: 1.4rem; background: var(--missing);
  border-radius: 3px; }
td svg.strip { width: 9rem; height: .9rem; }
svg .there { fill: var(--there); } svg .virtual { fill: var(--virtual); }
svg .native { fill: var(--native); } svg .odd { fill: var(--odd); }
svg .replaced { fill: var(--replaced); } svg .late { fill: var(--native); }
.ends { display: flex; justify-content: space-between; margin-left: 9.6rem; color: var(--faint);
  font-size: .875rem; gap: 1rem; }
.legend { color: var(--faint); font-size: .875rem; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px;
  margin: 0 .3rem 0 .8rem; vertical-align: -1px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
td.wrap { overflow-wrap: anywhere; min-width: 12rem; }
th { color: var(--faint); font-weight: 600; white-space: nowrap; }
tr { break-inside: avoid; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .7rem;
  overflow-x: auto; font-size: .8125rem; user-select: all; }
code { font-family: ui-monospace, monospace; }
.passed { color: var(--good); font-weight: 600; } .failed { color: var(--odd); font-weight: 600; }
.name { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3rem; font-size: .8125rem;
  white-space: nowrap; }
ul { padding-left: 1.2rem; margin: .4rem 0; }
footer { margin-top: 3rem; color: var(--faint); font-size: .875rem; }
.view { background: #fff; color: #1b1f24; border-radius: 4px; padding: .5rem; overflow-x: auto;
  color-scheme: light; }
@media (max-width: 40rem) { .lane { grid-template-columns: 1fr; gap: .1rem; }
  .ends { margin-left: 0; } dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: .4rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .scroll { overflow: visible; }
  svg.strip, .key { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details { display: block; } pre { white-space: pre-wrap; } }
"""

TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ page.title }}</title>
<style>{{ style }}</style>
</head>
<body>
<header>
<h1>{{ page.title }}</h1>
<dl class="facts">
{%- for label, value in page.facts %}
<dt>{{ label }}</dt><dd>{{ value }}</dd>
{%- endfor %}
</dl>
</header>
<main>
{%- if page.check %}
<section id="verification">
<h2>Verification</h2>
<p><span class="{{ 'passed' if page.check.passed else 'failed' }}">
{{- 'passed' if page.check.passed else 'failed' }}</span>: {{ page.check.summary }}</p>
{%- if page.check.failures %}
<ul>
{%- for sentence in page.check.failures %}
<li>{{ sentence }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- if page.check.more %}
<p>{{ page.check.more }} more: verify --json lists them.</p>
{%- endif %}
</section>
{%- endif %}
{%- for section in page.sections %}
<section>
{%- if section.timelines %}
<h2>Coverage{{ ': ' ~ section.title if section.title }}</h2>
{%- for line in section.timelines %}
{%- if line.name %}
<h3>{{ line.name }}</h3>
{%- endif %}
{%- for lane in line.lanes %}
<div class="lane"><span>{{ lane.label }}</span>{{ lane.picture }}</div>
{%- endfor %}
<div class="ends"><span>{{ line.begin }}</span><span>{{ line.end }}</span></div>
{%- if line.sentences %}
<ul>
{%- for sentence in line.sentences %}
<li>{{ sentence }}</li>
{%- endfor %}
{%- if line.more %}
<li>and {{ line.more }} more</li>
{%- endif %}
</ul>
{%- endif %}
{%- endfor %}
{%- endif %}
{%- if section.notes %}
<ul>
{%- for note in section.notes %}
<li>{{ note }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- if section.variables %}
<h2>Variables{{ ': ' ~ section.title if section.title }}</h2>
<p class="legend">chunks along the records:
<span class="key" style="background: var(--virtual)"></span>virtual
<span class="key" style="background: var(--native)"></span>native
<span class="key" style="background: var(--missing)"></span>missing</p>
<div class="scroll"><table>
<thead><tr><th scope="col">variable</th><th scope="col">state</th><th scope="col">chunks along the \
records</th><th scope="col">dims</th><th scope="col">shape</th><th scope="col">chunk</th>\
<th scope="col">type</th><th scope="col">codecs</th><th scope="col">a point, all records</th>\
<th scope="col">a map, one record</th></tr></thead>
<tbody>
{%- for row in section.variables %}
<tr><th scope="row">{{ row.path }}</th><td>{{ row.state }}{% if row.reason %}<br>{{ row.reason }}\
{% endif %}</td><td>{{ row.picture }}</td><td>{{ row.dims }}</td><td>{{ row.shape }}</td>\
<td>{{ row.chunks }}</td><td>{{ row.dtype }}</td><td>{{ row.codecs }}</td><td>{{ row.series }}</td>\
<td>{{ row.map }}</td></tr>
{%- endfor %}
</tbody></table></div>
{%- endif %}
{%- if section.command %}
<h3>Build</h3>
<pre><code>{{ section.command }}</code></pre>
{%- endif %}
</section>
{%- endfor %}
{%- if page.needs or page.code %}
<section id="readers">
<h2>What readers need</h2>
{%- if page.needs %}
<ul>
{%- for need in page.needs %}
<li>{{ need }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- if page.code %}
<pre><code>{{ page.code }}</code></pre>
{%- endif %}
</section>
{%- endif %}
{%- if page.commits %}
<section id="history">
<h2>History</h2>
<div class="scroll"><table>
<thead><tr><th scope="col">when (UTC)</th><th scope="col">what</th><th scope="col">message</th>\
<th scope="col">snapshot</th></tr></thead>
<tbody>
{%- for commit in page.commits %}
<tr><td>{{ commit.when }}</td><td>{{ commit.what }}</td><td class="wrap">{{ commit.message }}
{%- for name in commit.names %} <span class="name">{{ name }}</span>{% endfor %}</td>\
<td><code>{{ commit.snapshot }}</code></td></tr>
{%- endfor %}
</tbody></table></div>
{%- if page.more_commits %}
<p>{{ page.more_commits }} earlier commits: log lists them.</p>
{%- endif %}
</section>
{%- endif %}
{%- if page.views %}
<section id="dataset">
<h2>Dataset, as xarray shows it</h2>
{%- for view in page.views %}
{%- if view.name %}
<h3>{{ view.name }}</h3>
{%- endif %}
<div class="view">{{ view.html | safe }}</div>
{%- endfor %}
</section>
{%- endif %}
{%- if page.notes %}
<section id="notes">
<h2>Notes</h2>
<ul>
{%- for note in page.notes %}
<li>{{ note }}</li>
{%- endfor %}
</ul>
</section>
{%- endif %}
</main>
<footer>{{ page.made }}</footer>
</body>
</html>
"""

FRAGMENT = """\
<div class="virtual-zarr"><p><strong>{{ title }}</strong></p>
<table>
{%- for label, value in rows %}
<tr><th scope="row" style="text-align: left">{{ label }}</th><td style="text-align: left">\
{{ value }}</td></tr>
{%- endfor %}
</table></div>
"""
