# controls.sed - a bug of sqlpool.h for each fuzz target, below its name; `make fuzz-controls`
# plants each in a copy of the header. SPDX-License-Identifier: MIT OR Unlicense

# sql
# The slash of "/*" may end the comment too.
s/for (at += 2; at < end \&\& !(end - at >= 2/for (at += 1; at < end \&\& !(end - at >= 2/

# names
# A quote in a name is not doubled.
s/if (\*name == '`') sqlpool__text_byte(text, '`');//

# group
# Who failed in a group hears that it is committed.
s/^        if (job->has_failed) {/        if (false) {/

# report
# A backslash is not escaped in JSON.
s/(code == '"' || code == '\\\\')) {/code == '"') {/

# config
# The budget of the log may be above its limit.
s/config->wal_budget_bytes > config->wal_limit_bytes) {/false) {/

# file
# Functions that the schema names are trusted.
s/sqlite3_db_config(slot->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &now)/(void)0/

# api
# The rollback of an inner level keeps what it did.
s/"ROLLBACK TO"/"RELEASE"/
