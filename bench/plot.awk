# plot.awk - draw what the benches print with --json as an SVG: awk -f bench/plot.awk bench.json
# Every number in the picture comes from the input. SPDX-License-Identifier: MIT OR Unlicense
#
# One panel per workload, groups of bars by number of threads, a bar per system; the height is the
# rate as a multiple of hand-written sqlite3 in autocommit with as many threads, which is 1. Columns
# that are not in the input are left out. Colours follow the reader's light or dark scheme, and the
# picture has a ground of its own for pages that do not.

# The value of a member of a line of JSON; "" if there is none.
function member(name,    text) {
    if (!match($0, "\"" name "\":(\"[^\"]*\"|[-0-9.]+)")) return ""
    text = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3)
    gsub(/"/, "", text)
    return text
}

# 1234567 as "1.23 M", 123456 as "123 k"
function short_number(x) {
    if (x >= 1e6) return sprintf("%.2f M", x / 1e6)
    if (x >= 1e3) return sprintf("%.0f k", x / 1e3)
    return sprintf("%.0f", x)
}

# A step of the axis: at most eight lines.
function step_for(most,    k, steps, n) {
    n = split("0.1 0.2 0.25 0.5 1 2 5 10 20 50 100", steps, " ")
    for (k = 1; k < n; k++) {
        if (most / steps[k] <= 8) break
    }
    return steps[k]
}

function text(x, y, class, anchor, content) {
    printf "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n",
        class, x, y, anchor, content
}

function line(x1, y1, x2, y2, class) {
    printf "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2
}

# Which systems of the list have bars in this workload, in the list's order.
function systems_in(load,    k) {
    present_count = 0
    for (k = 1; k <= system_count; k++) {
        if ((load, system_name[k]) in has_system) present[++present_count] = k
    }
}

function panel(load, title, top,    k, t, x, y, most, step, group, bar, height, value, base, key) {
    systems_in(load)
    most = 1
    for (t = 1; t <= thread_count; t++) {
        for (k = 1; k <= present_count; k++) {
            value = times[load, system_name[present[k]], threads[t]]
            if (value > most) most = value
        }
    }
    step = step_for(most)
    most = step * (int(most / step) + 1)
    text(left, top + 4, "head", "start", title)
    base = top + 22 + plot_height
    for (value = 0; value < most + step / 2; value += step) {
        y = base - value / most * plot_height
        line(left, y, left + plot_width, y, value == 0 ? "axis" : "grid")
        text(left - 8, y + 4, "tick", "end", sprintf(step == 0.25 ? "%.2f" : step < 1 ? "%.1f" : "%d", value))
    }
    printf "<text class=\"label\" text-anchor=\"middle\" transform=\"translate(%.1f %.1f) rotate(-90)\">" \
        "times hand-written</text>\n", left - 38, base - plot_height / 2
    line(left, base - plot_height / most, left + plot_width, base - plot_height / most, "one")
    group = plot_width / thread_count
    bar = (group - 26) / present_count
    if (bar > 34) bar = 34
    for (t = 1; t <= thread_count; t++) {
        x = left + (t - 1) * group + (group - bar * present_count) / 2
        for (k = 1; k <= present_count; k++) {
            key = load SUBSEP system_name[present[k]] SUBSEP threads[t]
            if (!(key in times)) continue
            value = times[key]
            height = value / most * plot_height
            printf "<rect class=\"s%d\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1.5\">" \
                "<title>%s, %s threads: %s per second</title></rect>\n", present[k],
                x + (k - 1) * bar + 1.5, base - height, bar - 3, height,
                system_text[present[k]], threads[t], short_number(rate[key])
            text(x + (k - 0.5) * bar, base - height - 4, "value", "middle",
                sprintf(value < 9.95 ? "%.2f" : "%.1f", value))
        }
        text(left + (t - 0.5) * group, base + 17, "tick", "middle",
            threads[t] (threads[t] == 1 ? " thread" : " threads"))
        text(left + (t - 0.5) * group, base + 32, "note", "middle",
            "1 = " short_number(rate[load, "hand", threads[t]]) "/s")
    }
}

# The legend: names of all systems that have bars, in two columns. Returns its height.
function legend(top,    k, n, x, y) {
    n = 0
    for (k = 1; k <= system_count; k++) {
        if (!(system_name[k] in has_any)) continue
        x = left + (n % 2) * (plot_width / 2)
        y = top + int(n / 2) * 19
        printf "<rect class=\"s%d\" x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" rx=\"1.5\"/>\n", k, x, y - 10
        text(x + 18, y, "legend", "start", system_text[k])
        n++
    }
    return int((n + 1) / 2) * 19
}

function add_system(name, content, light, dark) {
    system_name[++system_count] = name
    system_text[system_count] = content
    light_css = light_css sprintf(".s%d{%s}\n", system_count, light)
    dark_css = dark_css sprintf(".s%d{%s}\n", system_count, dark)
}

BEGIN {
    add_system("hand", "hand-written, autocommit", "fill:#8c959f", "fill:#6e7681")
    add_system("textbook", "mutex-and-condition pool, prepares each time", "fill:#d4a72c", "fill:#bb8009")
    add_system("snap-off", "sqlpool, snapshots off", "fill:#80ccff", "fill:#1f6feb")
    add_system("sqlpool", "sqlpool", "fill:#0969da", "fill:#79c0ff")
    add_system("excl", "sqlpool, single process", "fill:#0a3069", "fill:#cae8ff")
    add_system("hand-tx", "hand-written in one read transaction (the limit)", "fill:#eaeef2;stroke:#8c959f",
        "fill:#21262d;stroke:#8c959f")
    width = 760; left = 66; plot_width = 674; plot_height = 190
}

/"bench":/ && /"cpus":/ {
    if (cpus == "") { cpus = member("cpus"); sqlite = member("sqlite") }
}

/"workload":/ && /"settings":"same"/ && /"times_hand":/ {
    load = member("workload"); name = member("system"); count = member("threads")
    times[load, name, count] = member("times_hand") + 0
    rate[load, name, count] = member(load == "W5" ? "reads_per_s" : "ops_per_s") + 0
    has_system[load, name] = 1
    if (load == "W2" || load == "W5") has_any[name] = 1
    if (!(count in seen)) { seen[count] = 1; threads[++thread_count] = count }
}

END {
    if (thread_count == 0 || cpus == "") {
        print "plot.awk: no results of W2 or W5 in the input" > "/dev/stderr"
        exit 1
    }
    # Names of systems that have no place in the list, such as int64, do not count.
    legend_rows = 0
    for (k = 1; k <= system_count; k++) {
        if (system_name[k] in has_any) legend_rows++
    }
    first = 78 + int((legend_rows + 1) / 2) * 19 + 14
    second = first + 22 + plot_height + 32 + 40
    total = second + 22 + plot_height + 32 + 18
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\"" \
        " role=\"img\" aria-labelledby=\"title desc\">\n", width, total, width, total
    print "<title id=\"title\">sqlpool: rates as multiples of hand-written sqlite3</title>"
    print "<desc id=\"desc\">Two bar charts by number of threads: point queries by rowid, and reads in a mix" \
        " of 90 % reads and 10 % writes.</desc>"
    print "<style>"
    print "text{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif;fill:#1f2328}"
    print ".title{font-size:18px;font-weight:600}.head{font-size:14px;font-weight:600}"
    print ".sub,.label,.tick,.legend{font-size:12px}.note{font-size:11px}.value{font-size:10px}"
    print ".sub,.label,.tick,.note{fill:#59636e}"
    # Figures have a rim in the colour of the ground, for where they cross a line.
    print ".value{paint-order:stroke;stroke:#ffffff;stroke-width:3px}"
    print ".ground{fill:#ffffff}.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}"
    print ".one{stroke:#59636e;stroke-width:1;stroke-dasharray:4 3}"
    printf "%s", light_css
    print "@media (prefers-color-scheme:dark){"
    print "text{fill:#f0f6fc}.sub,.label,.tick,.note{fill:#9198a1}"
    print ".value{stroke:#0d1117}.ground{fill:#0d1117}.grid{stroke:#2f353d}.axis,.one{stroke:#9198a1}"
    printf "%s", dark_css
    print "}\n</style>"
    printf "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n", width, total
    text(left, 32, "title", "start", "Rate as a multiple of hand-written sqlite3")
    text(left, 52, "sub", "start", cpus (cpus == 1 ? " CPU" : " CPUs") ", SQLite " sqlite \
        ", WAL, the same settings for all; a connection and prepared statements per thread are 1")
    legend(78)
    panel("W2", "Point query by rowid", first)
    panel("W5", "Reads in a mix of 90 % reads and 10 % committed writes", second)
    print "</svg>"
}
