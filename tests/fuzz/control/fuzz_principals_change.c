// SPDX-License-Identifier: Apache-2.0
// A verb of the principals with any arguments: the first line is the verb, the second the object, the
// rest JSON. What comes of it is a document that reads back, one version further, and nobody but whom
// the verb names has come or gone: no text of a request breaks out of its place.
#include "base/bytes.h"
#include "base/err.h"
#include "control/principals_change.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HASH "$2b$04$abcdefghijklmnopqrstuuQnH0m5CbLpZ6HOaB0sBBBBBBBBBBBBB"

static const char before[] =
    "version: 7\nusers:\n  - {name: ada, password_hash: '" HASH "', grants: ["
    "{registry: contoso, repositories: ['*'], actions: [pull, push]}]}\n"
    "scope_maps:\n  - {name: releases, registry: contoso, grants: [{repositories: ['release/*'], "
    "actions: [content/read]}]}\n"
    "tokens:\n  - {name: ci, registry: contoso, scope_map: releases, passwords: [{id: 1, "
    "password_hash: '" HASH "'}]}\n"
    "  - {name: watcher, admin: [admin/read], regions: [eastus]}\n";

static void must(bool holds)
{
    if (!holds)
        abort();
}

// Each text ends with NUL; NULL: no memory.
static char *line_take(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t n = end ? (size_t)(end - *data) : *size;
    char *text = calloc(1, n + 1);
    if (text)
        memcpy(text, *data, n);
    *data += n;
    *size -= n;
    if (*size) {
        (*data)++;
        (*size)--;
    }
    return text;
}

static void judge(const struct principals_ask *ask, struct bytes text)
{
    struct principals *p = NULL;
    size_t n = json_array_size(json_object_get(ask->arguments, "users"));
    must(!principals_parse((const char *)text.p, text.n, "p", NULL, &p));
    must(p->version == 8 && p->n_issuers == 0 && p->n_revoked <= 1);
    bool create = !strcmp(ask->word, "create"), delete = !strcmp(ask->word, "delete");
    size_t users = 1, tokens = 2, maps = 1;
    if (!strcmp(ask->noun, "user") && create)
        users++;
    if (!strcmp(ask->noun, "user") && delete)
        users--;
    if (!strcmp(ask->noun, "token") && create)
        tokens++;
    if (!strcmp(ask->noun, "token") && delete)
        tokens--;
    if (!strcmp(ask->noun, "scope-map") && create)
        maps++;
    if (!strcmp(ask->noun, "scope-map") && delete)
        maps--;
    if (!strcmp(ask->word, "import"))
        must(p->n_users >= users && p->n_users <= users + n);
    else
        must(p->n_users == users);
    must(p->n_tokens == tokens && p->n_scope_maps == maps);
    snapshot_unref(p);
}

static void run(char *verb, const char *object, json_t *arguments)
{
    char *space = strchr(verb, ' ');
    if (!space)
        return;
    *space = 0;
    const struct principals_ask ask = {.noun = verb,
                                       .word = space + 1,
                                       .object = object,
                                       .arguments = arguments,
                                       .now_ms = 1800000000000};
    struct buf text;
    char *what = NULL;
    struct diag d;
    diag_init(&d);
    int rc = principals_change(bytes_str(before), &ask, &d, &text, &what);
    must((rc == 0) == (what != NULL) && (rc == 0 || diag_count(&d) > 0));
    diag_done(&d);
    if (rc)
        return;
    judge(&ask, bytes_of(text.p, text.n));
    free(what);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *verb = line_take(&data, &size), *object = line_take(&data, &size);
    json_t *arguments = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
    if (verb && object)
        run(verb, object, arguments);
    json_decref(arguments);
    free(verb);
    free(object);
    return 0;
}
