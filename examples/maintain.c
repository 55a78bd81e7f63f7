/*  maintain.c - look after a database file. SPDX-License-Identifier: MIT OR Unlicense

    Build:  cc -O2 examples/maintain.c -o maintain -lsqlite3 -lpthread
            (beside it: sqlpool.h, and migrate_folder.h)
    Try:    ./maintain migrate app.db examples/migrations
            ./maintain migrate app.db examples/migrations 3 --dry-run */
#define _XOPEN_SOURCE 700
#define SQLPOOL_IMPLEMENTATION
#include "../sqlpool.h"
#include "migrate_folder.h"

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "migrate") == 0) return migrate_command(argc - 2, argv + 2);
    fputs(
        "usage: maintain migrate DB DIR [VERSION] [--dry-run | --check] [--adopt] [--id NUMBER]\n",
        stderr);
    return 2;
}
