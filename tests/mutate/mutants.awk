# mutants.awk - list every small change of the implementation that a test should notice.
# SPDX-License-Identifier: MIT OR Unlicense
#
#   awk -f mutants.awk sqlpool.h
#
# One line a mutant, in the order of the text, fields separated by tabs: kind, room, line, edits, and
# what it does in words. The edits are "line:column:length:new text", joined by "~"; apply.awk makes
# them. Kinds:
#   compare  another comparison: < and <=, > and >=, == and !=
#   logic    && for || and the reverse
#   negate   the opposite of the condition of an if or a while
#   drop     a statement is left out
#   number   a constant is one more or one less
# Comments, strings, assertions and, but for plain numbers in #define, the preprocessor's lines are
# left alone.

function emit(kind, at, edits, words) {
    gsub(/\t/, " ", words)
    printf "%s\t%s\t%d\t%s\t%s\n", kind, room[at], at, edits, words
}

function trimmed(text) {
    gsub(/^ +/, "", text)
    gsub(/ +/, " ", text)
    sub(/ +$/, "", text)
    return length(text) > 90 ? substr(text, 1, 87) "..." : text
}

# The code of a line, as long as the line: comments become blanks, strings and characters quotes.
function mask(text,    out, i, c, n, quote) {
    out = ""
    n = length(text)
    for (i = 1; i <= n; i++) {
        c = substr(text, i, 1)
        if (comment) {
            if (c == "*" && substr(text, i + 1, 1) == "/") { comment = 0; out = out " "; i++ }
            out = out " "
        } else if (c == "/" && substr(text, i + 1, 1) == "*") {
            comment = 1
            out = out "  "
            i++
        } else if (c == "/" && substr(text, i + 1, 1) == "/") {
            while (i++ <= n) out = out " "
        } else if (c == "\"" || c == "'") {
            quote = c
            out = out "\""
            for (i++; i <= n && substr(text, i, 1) != quote; i++) {
                if (substr(text, i, 1) == "\\") { out = out "\""; i++ }
                out = out "\""
            }
            out = out "\""
        } else out = out c
    }
    return substr(out, 1, n)
}

function replace(at, column, old, new, kind) {
    emit(kind, at, at ":" column ":" length(old) ":" new,
         old " -> " new " in: " trimmed(substr(line[at], 1, column - 1) "<<" old ">>" substr(line[at], column + length(old))))
}

# Line FROM, column FROM_COLUMN up to line TO, column TO_COLUMN (the semicolon) go; ";" remains.
function drop(from, from_column, to, to_column,    i, edits, words, begin, end) {
    edits = words = ""
    for (i = from; i <= to; i++) {
        begin = i == from ? from_column : 1
        end = i == to ? to_column : length(line[i])
        edits = edits (i == from ? "" : "~") i ":" begin ":" (end - begin + 1) ":" (i == from ? ";" : "")
        words = words " " substr(line[i], begin, end - begin + 1)
    }
    emit("drop", from, edits, "dropped: " trimmed(words))
}

{
    line[NR] = $0
    if ($0 ~ /^ \* >>\[/) {
        name = $0
        sub(/^ \* >>\[/, "", name)
        sub(/\].*/, "", name)
    }
    if (name == "END OF API") first = NR
    if (name == "T" && !last) last = NR - 1
    room[NR] = name
}

END {
    if (!first || !last) { print "mutants.awk: no rooms" > "/dev/stderr"; exit 1 }
    for (l = first; l <= last; l++) walk(l)
}

function walk(l,    text, rest, column, token) {
    text = mask(line[l])
    if (preprocessor || text ~ /^ *#/) {
        broken = inside
        preprocessor = (text ~ /\\$/)
        if (text ~ /^#define SQLPOOL__[A-Z_]+ +[0-9]+u? *$/) {
            match(text, /[0-9]+u? *$/)
            token = substr(text, RSTART)
            sub(/ +$/, "", token)
            number(l, RSTART, token)
        }
        return
    }
    column = 1
    rest = text
    while (rest != "") {
        if (match(rest, /^ +/)) { column += RLENGTH; rest = substr(rest, RLENGTH + 1); continue }
        if (match(rest, /^[A-Za-z_][A-Za-z0-9_]*/) || match(rest, /^[0-9][0-9A-Za-z_.]*/) || match(rest, /^"+/) ||
            match(rest, /^(<<=|>>=|\.\.\.)/) || match(rest, /^(->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*\/%&|^]=)/))
            token = substr(rest, 1, RLENGTH)
        else
            token = substr(rest, 1, 1)
        take(l, column, token)
        column += length(token)
        rest = substr(rest, length(token) + 1)
    }
}

function number(l, column, token,    digits, suffix, new) {
    if (token !~ /^[0-9]+[uUlL]*$/ || token ~ /^0[0-9]/) return
    digits = suffix = token
    sub(/[uUlL]+$/, "", digits)
    sub(/^[0-9]+/, "", suffix)
    if (length(digits) > 15) return
    new = digits == 0 || (l + column) % 2 ? digits + 1 : digits - 1
    replace(l, column, token, sprintf("%.0f", new) suffix, "number")
}

function statement_begins(l, column, token) {
    inside = 1
    from = l; from_column = column
    parens = paren; braces = 0
    word[1] = token; words = 1
    alone = branch
    branch = 0
}

function declaration() {
    return word[1] ~ /^(const|static|struct|enum|union|typedef|unsigned|signed|int|char|double|void|bool|size_t|[a-z0-9]+_t)$/ ||
        (word[1] ~ /^[A-Za-z_]/ && word[1] !~ /^(return|goto|sizeof)$/ && (word[2] ~ /^[A-Za-z_]/ || (word[2] == "*" && word[3] ~ /^[A-Za-z_*]/)))
}

function take(l, column, token) {
    # --- small changes -------------------------------------------------------------------------
    if (!asserted) {
        if (token == "<") replace(l, column, token, "<=", "compare")
        else if (token == "<=") replace(l, column, token, "<", "compare")
        else if (token == ">") replace(l, column, token, ">=", "compare")
        else if (token == ">=") replace(l, column, token, ">", "compare")
        else if (token == "==") replace(l, column, token, "!=", "compare")
        else if (token == "!=") replace(l, column, token, "==", "compare")
        else if (token == "&&") replace(l, column, token, "||", "logic")
        else if (token == "||") replace(l, column, token, "&&", "logic")
        else if (token ~ /^[0-9]/ && before != "case") number(l, column, token)
    }
    if (condition) {
        if (token ~ /^(==|!=)$/) equals++
        if (token ~ /^(<|<=|>|>=|&&|\|\||\?)$/) others++
    }
    # --- where statements begin and end ----------------------------------------------------------
    if (token == "(") {
        paren++
        if (control != "" && !inside && paren == 1) {
            if (control ~ /^(if|while)$/) { condition = 1; equals = others = 0; open_line = l; open_column = column }
        }
    }
    if (!depth) { # outside of functions: only what stands in an initialiser
        if (token == ")") paren--
        if (token == "{") {
            if (before == ")") { depth = 1; inside = 0; branch = 0 }
            else list++
        }
        if (token == "}" && list) list--
    } else if (inside) {
        if (words < 3 && !(l == from && column == from_column)) word[++words] = token
        if (token == ")") paren--
        if (token == "{") braces++
        if (token == "}") braces--
        if (token == ";" && paren == parens && braces == 0) {
            inside = asserted = 0
            if (broken || word[1] == "SQLPOOL_ASSERT") broken = 0
            else if (word[1] ~ /^(return|break|continue|goto)$/) { if (alone) drop(from, from_column, l, column) }
            else if (!(word[1] == "(" && word[2] == "void" && words == 3 && from == l && \
                substr(line[l], from_column) ~ /^\(void\)[a-z_]+;/) && !declaration()) drop(from, from_column, l, column)
            for (words = 3; words > 0; words--) word[words] = ""
        }
    } else if (control != "") {
        if (token == ")" && --paren == 0) {
            if (condition && (others || equals != 1))
                emit("negate", open_line, open_line ":" open_column ":1:(!(~" l ":" column ":1:))",
                     "negated: " trimmed(substr(line[open_line], 1, open_column - 1) "!" substr(line[open_line], open_column)))
            branch = (control == "if")
            control = ""
            condition = 0
        }
    } else if (label) {
        if (token == ":") label = 0
    } else if (token ~ /^(if|while|for|switch)$/) { control = token; branch = 0 }
    else if (token ~ /^(else|do)$/) branch = (token == "else")
    else if (token ~ /^(case|default)$/) label = 1
    else if (token == "{") { depth++; branch = 0 }
    else if (token == "}") { depth--; branch = 0 }
    else if (token == ";") branch = 0
    else {
        if (token == "(") { paren--; statement_begins(l, column, token); paren++ }
        else statement_begins(l, column, token)
        if (token == "SQLPOOL_ASSERT") asserted = 1
    }
    before = token
}
