"""The page of a report: one template. No script, nothing from elsewhere."""

from __future__ import annotations

MACROS = """\
{%- macro timeline(line) %}
<figure class="timeline">
{%- for lane in line.lanes %}
<div class="lane"><span>{{ lane.label }}</span>{{ lane.picture }}</div>
{%- endfor %}
{%- if line.ticks %}
<div class="axis" aria-hidden="true">
{%- for place, label in line.ticks %}
<span class="{{ 'first' if place < 6 else 'last' if place > 94 else 'tick' }}" \
style="left: {{ '%.2f' % place }}%">{{ label }}</span>
{%- endfor %}
</div>
{%- else %}
<div class="ends"><span>{{ line.begin }}</span><span>{{ line.end }}</span></div>
{%- endif %}
</figure>
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
{%- endmacro %}
{%- macro listed(sentences) %}
{%- if sentences %}
<ul>
{%- for sentence in sentences %}
<li>{{ sentence }}</li>
{%- endfor %}
</ul>
{%- endif %}
{%- endmacro %}
{%- macro variable(row) %}
<article class="variable">
<h3>{{ row.path }} <span class="faint">{{ row.dtype }}</span></h3>
<p>{{ row.state }}{% if row.reason %}: {{ row.reason }}{% endif %}</p>
<p class="faint">{{ row.shape }} ({{ row.dims }}) in chunks of {{ row.chunks }}\
{% if row.codecs %}; {{ row.codecs }}{% endif %}</p>
{%- if row.shares %}
{{ row.picture }}
<div class="ends"><span>{{ row.begin }}</span><span>{{ row.end }}</span></div>
{%- endif %}
{%- if row.series %}
<dl class="costs">
<div><dt>a point in all records</dt><dd>{{ row.series }}</dd></div>
<div><dt>a map of one record</dt><dd>{{ row.map }}</dd></div>
</dl>
{%- endif %}
</article>
{%- endmacro %}
{%- macro table(rows) %}
<table class="folding">
<thead><tr><th scope="col">variable</th><th scope="col">state</th><th scope="col">dimensions</th>\
<th scope="col">shape</th><th scope="col">chunk</th><th scope="col">type</th>\
<th scope="col">codecs</th></tr></thead>
<tbody>
{%- for row in rows %}
<tr><th scope="row">{{ row.path }}</th><td data-label="state">{{ row.state }}{% if row.reason %}: \
{{ row.reason }}{% endif %}</td><td data-label="dimensions">{{ row.dims }}</td>\
<td data-label="shape">{{ row.shape }}</td><td data-label="chunk">{{ row.chunks }}</td>\
<td data-label="type">{{ row.dtype }}</td><td data-label="codecs">{{ row.codecs }}</td></tr>
{%- endfor %}
</tbody></table>
{%- endmacro %}
"""

HEAD = """\
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
"""

CHECK = """\
{%- if page.check %}
<section id="verification">
<h2>Verification</h2>
<p><strong class="{{ 'passed' if page.check.passed else 'failed' }}">
{{- 'passed' if page.check.passed else 'FAILED' }}</strong>: {{ page.check.summary }}</p>
{%- if page.check.values %}
<table class="folding" id="differ">
<caption>Values that differ: the first one of each variable of a file</caption>
<thead><tr><th scope="col">file</th><th scope="col">variable</th><th scope="col">at</th>\
<th scope="col">in the store</th><th scope="col">in the file</th><th scope="col">differ</th></tr>\
</thead>
<tbody>
{%- for row in page.check.values %}
<tr><th scope="row" class="wrap">{{ row.file }}</th><td data-label="variable">{{ row.variable }}\
</td><td data-label="at">{{ row.at }}</td><td data-label="in the store">{{ row.stored }}</td>\
<td data-label="in the file">{{ row.in_file }}</td><td data-label="differ">{{ row.count }}</td></tr>
{%- endfor %}
</tbody></table>
{%- endif %}
{{- listed(page.check.failures) }}
{%- if page.check.more %}
<p>{{ page.check.more }} more: verify --json lists them.</p>
{%- endif %}
</section>
{%- endif %}
"""

SECTIONS = """\
{%- for section in page.sections %}
<section>
{%- if section.timelines %}
<h2>Coverage{{ ': ' ~ section.title if section.title }}</h2>
{%- for line in section.timelines %}
<h3>{{ line.name }}{{ ': ' if line.name }}{{ line.begin }} to {{ line.end }}</h3>
{{- timeline(line) }}
{%- endfor %}
{%- endif %}
{{- listed(section.notes) }}
{%- if section.variables or section.others %}
<h2>Variables{{ ': ' ~ section.title if section.title }}</h2>
{%- if section.variables %}
<p class="legend"><span class="key virtual"></span>virtual: in the files
<span class="key native"></span>native: in the repository
<span class="key lacks"></span>missing: reads as the fill value. Records lie to the right in their \
order, chunks of the other dimensions downwards.</p>
{%- endif %}
{%- for row in section.variables %}
{{- variable(row) }}
{%- endfor %}
{%- if section.others %}
{{- table(section.others) }}
{%- endif %}
{%- endif %}
{%- if section.command %}
<h3>Build</h3>
<pre><code>{{ section.command }}</code></pre>
{%- endif %}
</section>
{%- endfor %}
"""

REST = """\
{%- if page.needs or page.code %}
<section id="readers">
<h2>What readers need</h2>
{{- listed(page.needs) }}
{%- if page.code %}
<pre><code>{{ page.code }}</code></pre>
{%- endif %}
</section>
{%- endif %}
{%- if page.commits %}
<section id="history">
<h2>History</h2>
{%- if page.history %}
{{- timeline(page.history) }}
{%- endif %}
<table class="folding">
<thead><tr><th scope="col">when (UTC)</th><th scope="col">what</th><th scope="col">message</th>\
<th scope="col">snapshot</th></tr></thead>
<tbody>
{%- for commit in page.commits %}
<tr><th scope="row">{{ commit.when }}</th><td data-label="what">{{ commit.what }}</td>\
<td data-label="message" class="wrap">{{ commit.message }}
{%- for name in commit.names %} <span class="name">{{ name }}</span>{% endfor %}</td>\
<td data-label="snapshot"><code>{{ commit.snapshot }}</code></td></tr>
{%- endfor %}
</tbody></table>
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
{{- listed(page.notes) }}
</section>
{%- endif %}
</main>
<footer>{{ page.made }}</footer>
</body>
</html>
"""

TEMPLATE = MACROS + HEAD + CHECK + SECTIONS + REST

FRAGMENT = (
    MACROS
    + """\
<div class="virtual-zarr"><style>{{ style }}</style>
<p><strong>{{ title }}</strong></p>
{%- for line in lines %}
{%- if line.name %}
<p>{{ line.name }}: {{ line.begin }} to {{ line.end }}</p>
{%- endif %}
{{- timeline(line) }}
{%- endfor %}
<table>
{%- for label, value in rows %}
<tr><th scope="row">{{ label }}</th><td{% if value in ("passed", "FAILED") %} \
class="{{ value | lower }}"{% endif %}>{{ value }}</td></tr>
{%- endfor %}
</table></div>
"""
)
