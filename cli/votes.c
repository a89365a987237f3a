// SPDX-License-Identifier: Apache-2.0
// The votes behind verdicts, as a table: under `health show --votes` and `dns explain`.
#include "cli/cli.h"

#include "base/mem.h"

#include <stdio.h>

static const char *const vote_columns[] = {"region",    "stamp", "voter",    "says",
                                           "badInARow", "ageMs", "standing", "counted"};

static int add_rows(json_t *rows, json_t *target)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(json_object_get(target, "count"), "voters"), i, v)
    {
        json_t *row = json_copy(v);
        if (!row || json_object_set(row, "region", json_object_get(target, "region")) ||
            json_object_set(row, "stamp", json_object_get(target, "stamp")) ||
            json_array_append(rows, row)) {
            json_decref(row);
            return -1;
        }
        json_decref(row);
    }
    return 0;
}

int cli_print_votes(struct cli *c, json_t *targets)
{
    size_t i;
    json_t *rows = json_array(), *target;
    int rc = -1;
    if (rows)
        rc = 0;
    json_array_foreach(targets, i, target)
    {
        if (!rc)
            rc = add_rows(rows, target);
    }
    if (rc) {
        json_decref(rows);
        return cli_fail(EXIT_FAILED, "out of memory");
    }
    if (!json_array_size(rows)) {
        json_decref(rows);
        return EXIT_DONE;
    }
    putchar('\n');
    return cli_print_array(c, rows, vote_columns, ARRAY_LEN(vote_columns));
}
