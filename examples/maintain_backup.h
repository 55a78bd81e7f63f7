/*  maintain_backup.h - the commands backup, restore and salvage of maintain.c.
    SPDX-License-Identifier: MIT OR Unlicense

    Each takes an open pool, options with who watches, and the word behind the database's name; prints
    what it did, and returns 0 or 1. */
#ifndef MAINTAIN_BACKUP_H
#define MAINTAIN_BACKUP_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void backup_print(const sqlpool_backup_info *info) {
    char when[40] = "unknown";
    const time_t seconds = (time_t)info->time_s;
    const struct tm *utc = gmtime(&seconds);
    if (info->has_metadata && utc != NULL)
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S UTC", utc);
    (void)printf("%s\n  taken     %s\n  pages     %" PRId64 " of %" PRId64 " bytes\n", info->path,
                 when, info->pages, info->page_bytes);
    if (info->has_metadata)
        (void)printf("  checksum  %016" PRIx64 "\n  SQLite    %d.%d.%d\n", info->checksum,
                     info->sqlite_version / 1000000, info->sqlite_version / 1000 % 1000,
                     info->sqlite_version % 1000);
}

static int backup_failed(const char *what, const sqlpool_error *error) {
    (void)fprintf(stderr, "\n%s: %s: %s\n", what, sqlpool_result_name(error->result),
                  error->message);
    return 1;
}

/*  backup DB TARGET: keeps the target and two older ones. */
static int maintain_backup(sqlpool *pool, const sqlpool_maintenance *options, const char *path) {
    sqlpool_backup_config config;
    sqlpool_backup_info info;
    sqlpool_error error;
    memset(&config, 0, sizeof config);
    config.keep = 3;
    if (sqlpool_backup(pool, path, &config, options, &info, &error) != SQLPOOL_OK)
        return backup_failed("backup", &error);
    backup_print(&info);
    return 0;
}

/*  restore DB BACKUP: that one, or the newest good one of its generations. */
static int maintain_restore(sqlpool *pool, const sqlpool_maintenance *options, const char *path) {
    sqlpool_backup_config config;
    sqlpool_backup_info info;
    sqlpool_error error;
    memset(&config, 0, sizeof config);
    config.or_older = true;
    if (sqlpool_restore(pool, path, &config, options, &info, &error) != SQLPOOL_OK)
        return backup_failed("restore", &error);
    backup_print(&info);
    if (info.kept[0] != '\0') (void)printf("  replaced  %s\n", info.kept);
    return 0;
}

/*  salvage DB TARGET: what can be read of the database, into a new file. */
static int maintain_salvage(sqlpool *pool, const sqlpool_maintenance *options, const char *path) {
    sqlpool_salvage_info info;
    sqlpool_error error;
    if (sqlpool_salvage(pool, NULL, path, NULL, options, &info, &error) != SQLPOOL_OK)
        return backup_failed("salvage", &error);
    (void)printf("%" PRId64 " rows of %d tables; %d damaged, %d lost, %d indexes or views lost\n",
                 info.rows, info.tables, info.tables_damaged, info.tables_lost, info.indexes_lost);
    if (info.first_problem[0] != '\0') (void)printf("  %s\n", info.first_problem);
    return 0;
}

#endif
