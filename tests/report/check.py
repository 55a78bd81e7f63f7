"""check.py FOLDER - parse reports with parsers that are not ours, and compare what they say.
SPDX-License-Identifier: MIT OR Unlicense

FOLDER has what `tests/api/report write FOLDER` wrote: reports of a pool that met hostile texts.
Prints "ok" or "not ok" for each report, then the sum."""
import html.parser
import json
import os
import re
import sys

folder = sys.argv[1]
here = os.path.dirname(os.path.abspath(__file__))
NAME = 'po"ol\\ <b>??'
TAG = 'tag "<i>\\??]0;title?'
CANARY = "canary-4711"
passed = failed = 0


def read(name):
    with open(os.path.join(folder, name), encoding="utf-8", errors="strict", newline="") as file:
        return file.read()


def test(function):
    global passed, failed
    try:
        function()
        passed += 1
        print("ok", function.__name__)
    except Exception as error:  # whatever it is, the report is not as it must be
        failed += 1
        print("#", repr(error)[:500])
        print("not ok", function.__name__)


def no_constant(text):
    raise ValueError("no number of JSON: " + text)


def no_twins(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a member twice: " + repr(names))
    return dict(pairs)


def strict(text):
    return json.loads(text, parse_constant=no_constant, object_pairs_hook=no_twins)


def validate(value, schema, where="$"):
    """As much of JSON Schema as ours uses."""
    if "enum" in schema:
        assert value in schema["enum"], (where, value)
        return
    kind = schema["type"]
    types = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    assert type(value) is types[kind], (where, value, kind)
    if "minimum" in schema:
        assert value >= schema["minimum"], (where, value)
    if "maximum" in schema:
        assert value <= schema["maximum"], (where, value)
    if kind == "array":
        for at, item in enumerate(value):
            validate(item, schema["items"], f"{where}[{at}]")
    if kind == "object":
        assert set(value) == set(schema["properties"]), (where, set(value) ^ set(schema["properties"]))
        for name, item in value.items():
            validate(item, schema["properties"][name], f"{where}.{name}")


def json_is_strict_and_fits_its_schema():
    report = strict(read("report.json"))
    with open(os.path.join(here, "schema.json"), encoding="utf-8") as file:
        validate(report, json.load(file))
    assert report["name"] == NAME, report["name"]
    assert len(report["holders"]) == 1 and report["holders"][0]["tag"] == TAG
    assert report["holders"][0]["file"] == 'fi<le>"?.c'
    kinds = report["statement_kinds"]
    assert kinds == sorted(kinds, key=lambda kind: -kind["total_ns"])
    assert "slowly()" in kinds[0]["sql"] and kinds[0]["slow"] > 0, kinds[0]
    assert any("SCAN" in line for line in kinds[0]["plan"]), kinds[0]["plan"]
    assert any("日本" in kind["sql"] for kind in kinds)
    assert report["latency"]["statement"]["count"] > 5
    assert report["errors"] > 0 and report["alerts"][0]["alert"] == "utilisation"
    ages = [sample["age_ms"] for sample in report["history"]]
    assert len(ages) > 2 and ages == sorted(ages, reverse=True)


def trace_is_strict_and_has_what_perfetto_reads():
    trace = strict(read("trace.json"))
    events = trace["traceEvents"]
    for event in events:
        assert event["ph"] in "MXiC", event
        assert isinstance(event["name"], str) and event["pid"] == 1
        if event["ph"] != "M":
            assert isinstance(event["ts"], (int, float))
        if event["ph"] == "X":
            assert event["dur"] > 0
        if event["ph"] in "Xi":
            assert isinstance(event["tid"], int)
    names = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {"writer 0", "connection 1", "checkpoints", "no connection"} <= names, names
    tracks = {event["tid"] for event in events if event["name"] == "thread_name"}
    assert {event["tid"] for event in events if event["ph"] in "Xi"} <= tracks
    assert any("slowly()" in event["args"].get("sql", "") for event in events)
    assert sum(event["name"] == "statement" for event in events) >= 5


class Page(html.parser.HTMLParser):
    """Elements closed in their order, nothing that runs or loads, the texts inside."""

    empty = {"meta", "link", "circle", "path", "polyline", "polygon"}
    allowed = empty | set(
        "html head title style body main header footer section div span b i p h1 h2 small code pre "
        "figure figcaption details summary table tr th td svg rect".split()
    )

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.counts, self.code = [], {}, {}, []

    def handle_starttag(self, tag, attributes):
        assert tag in self.allowed, tag
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            assert not name.startswith("on") and name not in ("src", "srcset", "action"), (tag, name)
            assert name != "href" or value == "data:,", value
        if tag not in self.empty:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in self.empty, tag
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        if not self.open:
            return
        self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data
        if self.open[-1] == "code":
            self.code.append(data)

    def handle_comment(self, data):
        raise ValueError("a comment: " + data)


def html_is_balanced_and_says_the_same():
    text = read("report.html")
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open, page.open
    assert page.texts["h1"] == NAME, page.texts["h1"]
    assert page.texts["title"].startswith(NAME)
    assert "script" not in page.counts and "<script>alert(1)</script>" in page.texts["code"]
    assert page.counts["svg"] > 6 and page.counts["details"] > 5
    assert "slowly()" in page.code[0], page.code[0]
    assert "日本" in page.texts["code"]
    assert "utilisation is" in page.texts["b"]
    assert len(text) < 300 * 1024
    for points in re.findall(r'points="([^"]*)"', text):
        for point in points.split():
            x, y = point.split(",")
            assert 0 <= float(x) <= 1000 and 0 <= float(y) <= 100, point


def no_bound_value_is_in_any():
    for name in os.listdir(folder):
        assert CANARY not in read(name), name


def labels_of_prometheus_come_back():
    text = read("metrics.txt")
    assert text.endswith("\n")
    label = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\["\\n])*)"')
    names = set()
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-z0-9_]+)\{(.*)\} ([0-9.+eInf-]+)", line)
        assert match, line[:200]
        rest = label.sub("", match.group(2)).replace(",", "")
        assert rest == "", (rest, line[:200])
        for name, value in label.findall(match.group(2)):
            if name == "pool":
                names.add(value.replace("\\\\", "\0").replace('\\"', '"').replace("\0", "\\"))
    assert names == {NAME}, names


for one in (
    json_is_strict_and_fits_its_schema,
    trace_is_strict_and_has_what_perfetto_reads,
    html_is_balanced_and_says_the_same,
    labels_of_prometheus_come_back,
    no_bound_value_is_in_any,
):
    test(one)
print(f"{passed} passed, {failed} failed")
sys.exit(failed != 0)
