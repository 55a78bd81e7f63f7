/*  metrics.h - between the two copies of the library in bench/metrics.c and its program.
    SPDX-License-Identifier: MIT OR Unlicense */
#ifndef BENCH_METRICS_H
#define BENCH_METRICS_H

#include <stdint.h>

enum { WORKLOAD_POINT, WORKLOAD_KEPT, WORKLOAD_SCOPE, WORKLOADS };

typedef struct metrics_side {
    void *(*open_fn)(const char *path, int metrics, int is_kept);
    void (*fill_fn)(void *pool);
    void (*run_fn)(void *pool, int workload, int count, uint64_t *seed);
    void (*close_fn)(void *pool);
} metrics_side;

#endif
