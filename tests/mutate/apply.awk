# apply.awk - make the edits of one mutant. SPDX-License-Identifier: MIT OR Unlicense
#
#   awk -v edits='LINE:COLUMN:LENGTH:TEXT~...' -f apply.awk sqlpool.h
#
# The edits of a line are made from the right, so that the columns stay what they are.
BEGIN {
    count = split(edits, edit, "~")
    for (i = 1; i <= count; i++) {
        split(edit[i], part, ":")
        wanted[part[1]] = 1
        at[i] = part[1]; column[i] = part[2]; size[i] = part[3]
        text[i] = edit[i]
        sub(/^[0-9]*:[0-9]*:[0-9]*:/, "", text[i])
    }
}
FNR in wanted {
    for (i = count; i >= 1; i--)
        if (at[i] == FNR) $0 = substr($0, 1, column[i] - 1) text[i] substr($0, column[i] + size[i])
}
{ print }
