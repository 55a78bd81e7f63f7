/*  migrate_folder.h - migrations in a folder of .sql files, and the command that runs them.
    SPDX-License-Identifier: MIT OR Unlicense

    A step is a file NUMBER_name.up.sql, and beside it NUMBER_name.down.sql if there is a way back;
    examples/migrations is such a folder. Include it after sqlpool.h.

    What to copy from here, and where it stands:
      files into an array of sqlpool_migration      folder_read, folder_free
      what sqlpool_migrate() wants and says         migrate_command */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct migration_folder {
    sqlpool_migration *steps; /* by version; their texts belong to the folder */
    int count;
    char why[1200]; /* what is wrong with it */
} migration_folder;

static void folder_free(migration_folder *folder) {
    int i;
    for (i = 0; i < folder->count; i++) {
        free((void *)(uintptr_t)folder->steps[i].name);
        free((void *)(uintptr_t)folder->steps[i].up);
        free((void *)(uintptr_t)folder->steps[i].down);
    }
    free(folder->steps);
    folder->steps = NULL;
    folder->count = 0;
}

/*  A whole file, NUL-terminated; NULL, and why. */
static char *folder_text(migration_folder *folder, const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t bytes = 0, room = 0, got = 1;
    while (file != NULL && got > 0) {
        if (bytes + 1 >= room) {
            char *more = (char *)realloc(text, room = room * 2 + 4096);
            if (more == NULL) break;
            text = more;
        }
        got = fread(text + bytes, 1, room - bytes - 1, file);
        bytes += got;
    }
    if (file == NULL || got > 0 || ferror(file)) {
        (void)snprintf(folder->why, sizeof folder->why, "\"%s\" cannot be read", path);
    } else if (memchr(text, 0, bytes) != NULL) {
        (void)snprintf(folder->why, sizeof folder->why, "\"%s\" holds a NUL: it is no SQL text",
                       path);
    }
    if (file != NULL) (void)fclose(file);
    if (folder->why[0] != '\0') {
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    return text;
}

/*  The step of a version; made if there is none. */
static sqlpool_migration *folder_step(migration_folder *folder, int version, const char *name,
                                      size_t bytes) {
    sqlpool_migration *step;
    char *copy;
    int i;
    for (i = 0; i < folder->count; i++) {
        step = &folder->steps[i];
        if (step->version == version && strlen(step->name) == bytes &&
            memcmp(step->name, name, bytes) == 0)
            return step;
    }
    step = (sqlpool_migration *)realloc(folder->steps, (size_t)(folder->count + 1) * sizeof *step);
    if (step != NULL) folder->steps = step;
    copy = (char *)malloc(bytes + 1);
    if (step == NULL || copy == NULL) {
        free(copy);
        (void)snprintf(folder->why, sizeof folder->why, "out of memory");
        return NULL;
    }
    memcpy(copy, name, bytes);
    copy[bytes] = '\0';
    step = &folder->steps[folder->count++];
    memset(step, 0, sizeof *step);
    step->version = version;
    step->name = copy;
    return step;
}

/*  Takes a file of the folder, if it is a step's. */
static bool folder_take(migration_folder *folder, const char *path, const char *file) {
    static const char up[] = ".up.sql", down[] = ".down.sql";
    const size_t length = strlen(file);
    const bool is_up = length > sizeof up - 1 && strcmp(file + length - (sizeof up - 1), up) == 0;
    const bool is_down =
        length > sizeof down - 1 && strcmp(file + length - (sizeof down - 1), down) == 0;
    char *end, *text, whole[1024];
    sqlpool_migration *step;
    long version;
    if (!is_up && !is_down) return true; /* a README, say */
    version = strtol(file, &end, 10);
    if (file[0] < '0' || file[0] > '9' || *end != '_' || version < 1 || version > 999999) {
        (void)snprintf(folder->why, sizeof folder->why,
                       "\"%s\" should be named like 0001_users.up.sql", file);
        return false;
    }
    if (snprintf(whole, sizeof whole, "%s/%s", path, file) >= (int)sizeof whole) {
        (void)snprintf(folder->why, sizeof folder->why, "the path of \"%s\" is too long", file);
        return false;
    }
    text = folder_text(folder, whole);
    if (text == NULL) return false;
    step = folder_step(folder, (int)version, end + 1,
                       length - (size_t)(end + 1 - file) - (is_up ? sizeof up : sizeof down) + 1);
    if (step == NULL || (is_up ? step->up : step->down) != NULL) {
        if (step != NULL)
            (void)snprintf(folder->why, sizeof folder->why, "\"%s\": two files of version %ld",
                           file, version);
        free(text);
        return false;
    }
    if (is_up) {
        step->up = text;
    } else {
        step->down = text;
    }
    return true;
}

static int folder_order(const void *a, const void *b) {
    const int x = ((const sqlpool_migration *)a)->version,
              y = ((const sqlpool_migration *)b)->version;
    return (x > y) - (x < y);
}

/*  Reads the steps of a folder. False: folder->why says what is wrong; gaps are left to
    sqlpool_migrate(). */
static bool folder_read(migration_folder *folder, const char *path) {
    DIR *directory = opendir(path);
    const struct dirent *entry;
    bool is_good = true;
    int i;
    memset(folder, 0, sizeof *folder);
    if (directory == NULL) {
        (void)snprintf(folder->why, sizeof folder->why, "the folder \"%s\" cannot be read", path);
        return false;
    }
    while (is_good && (entry = readdir(directory)) != NULL)
        is_good = folder_take(folder, path, entry->d_name);
    (void)closedir(directory);
    for (i = 0; i < folder->count && is_good; i++) {
        if (folder->steps[i].up != NULL) continue;
        (void)snprintf(folder->why, sizeof folder->why,
                       "migration %d \"%s\" has a way down and none up", folder->steps[i].version,
                       folder->steps[i].name);
        is_good = false;
    }
    if (is_good && folder->count == 0) {
        (void)snprintf(folder->why, sizeof folder->why,
                       "the folder \"%s\" has no file like 0001_users.up.sql", path);
        is_good = false;
    }
    if (is_good) qsort(folder->steps, (size_t)folder->count, sizeof *folder->steps, folder_order);
    if (!is_good) folder_free(folder);
    return is_good;
}

/*---- the command ----*/

/*  migrate DB DIR [VERSION] [--dry-run | --check] [--adopt] [--id NUMBER]: the arguments behind the
    word migrate; progress_fn may be NULL. Returns the exit code: 0 done, 1 failed, 2 wrong arguments. */
static int migrate_command(int argc, char **argv, sqlpool_progress_fn progress_fn) {
    static const char usage[] =
        "usage: migrate DB DIR [VERSION] [--dry-run | --check] [--adopt] [--id NUMBER]\n"
        "  brings DB to VERSION (the newest; 0: all steps down) by the files DIR/0001_name.up.sql "
        "and\n"
        "  DIR/0001_name.down.sql; --dry-run does all of it and takes it back, --check only "
        "looks\n";
    const char *database = NULL, *path = NULL;
    sqlpool_migrate_config config;
    sqlpool_maintenance options;
    sqlpool_migrate_result result;
    migration_folder folder;
    sqlpool_error error;
    sqlpool *pool;
    int i, rc;
    memset(&config, 0, sizeof config);
    memset(&options, 0, sizeof options);
    options.timeout_ms = SQLPOOL_FOREVER; /* another process may be migrating */
    options.tag = "migrate";
    options.progress_fn = progress_fn;
    for (i = 0; i < argc; i++) {
        char *end = argv[i];
        if (strcmp(argv[i], "--dry-run") == 0) {
            config.mode = SQLPOOL_MIGRATE_DRY_RUN;
        } else if (strcmp(argv[i], "--check") == 0) {
            config.mode = SQLPOOL_MIGRATE_CHECK;
        } else if (strcmp(argv[i], "--adopt") == 0) {
            config.adopt = true;
        } else if (strcmp(argv[i], "--id") == 0 && i + 1 < argc) {
            config.application_id = (int)strtol(argv[++i], &end, 0);
            if (*end != '\0') return fputs(usage, stderr), 2;
        } else if (database == NULL && argv[i][0] != '-') {
            database = argv[i];
        } else if (path == NULL && argv[i][0] != '-') {
            path = argv[i];
        } else {
            const long version = strtol(argv[i], &end, 10);
            if (end == argv[i] || *end != '\0' || version < 0 || version > 999999)
                return fputs(usage, stderr), 2;
            config.target = version == 0 ? SQLPOOL_OFF : (int)version;
        }
    }
    if (path == NULL) return fputs(usage, stderr), 2;
    if (!folder_read(&folder, path)) {
        fprintf(stderr, "migrate: %s\n", folder.why);
        return 1;
    }
    config.steps = folder.steps;
    config.step_count = folder.count;
    rc = sqlpool_open(&pool, database, NULL, &error);
    if (rc == SQLPOOL_OK) {
        rc = sqlpool_migrate(pool, &config, &options, &result, &error);
        if (rc == SQLPOOL_OK)
            printf("%sversion %d to %d: %d %s, %lld ms\n",
                   config.mode == SQLPOOL_MIGRATE_RUN ? "" : "(nothing was changed) ", result.from,
                   result.to, result.steps, result.steps == 1 ? "step" : "steps",
                   (long long)result.elapsed_ms);
        (void)sqlpool_close(pool, NULL);
    }
    if (rc != SQLPOOL_OK)
        fprintf(stderr, "migrate: %s: %s\n", sqlpool_result_name(rc), error.message);
    folder_free(&folder);
    return rc == SQLPOOL_OK ? 0 : 1;
}
