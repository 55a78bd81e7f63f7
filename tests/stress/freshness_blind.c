/*  freshness_blind.c - the control of freshness.c: the same program with a pool that does not compare
    stamps. It passes when stale reads are found. SPDX-License-Identifier: MIT OR Unlicense */
#define _GNU_SOURCE
#define SQLPOOL_TESTING_BLIND_STAMP
#define SQLPOOL_IMPLEMENTATION
#include "sqlpool.h"

#define FRESHNESS_BLIND
#include "freshness.c"
