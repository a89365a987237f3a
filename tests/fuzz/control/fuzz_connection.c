// SPDX-License-Identifier: Apache-2.0
// Any bytes as the record of a connection, and of an address that rests: refused, or read; then it
// can be written, and says the same when it is read again.
#include "base/err.h"
#include "control/connections.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void connection(const char *text, struct arena *a)
{
    struct connection c, again;
    struct control_record written, twice;
    if (connection_parse("pe", text, a, &c))
        return;
    must(c.n_moves <= CONNECTION_MOVES_MAX && (c.n_members == 0 || c.members != NULL));
    int rc = connection_record(&c, a, &written);
    must(rc == 0 || rc == ERR_TOOBIG);
    if (rc)
        return;
    must(strlen(written.value) <= CONNECTION_MAX_BYTES);
    must(!connection_parse("pe", written.value, a, &again));
    must(!connection_record(&again, a, &twice));
    must(!strcmp(written.value, twice.value) && again.n_members == c.n_members);
}

static void rest(const char *text, struct arena *a)
{
    struct rest r, again;
    struct control_record written;
    const struct ip ip = {.b = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 4}};
    if (rest_parse(text, a, &r))
        return;
    must(!rest_record(a, "corp", &ip, &r, &written));
    must(!strcmp(written.key, "rest/corp/10.0.0.4"));
    must(!rest_parse(written.value, a, &again));
    must(again.until_ms == r.until_ms && !strcmp(again.was, r.was));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 0);
    char *text = arena_strndup(&a, (const char *)data, size);
    if (text) {
        connection(text, &a);
        rest(text, &a);
        connection_text_ok(text);
    }
    arena_done(&a);
    return 0;
}
