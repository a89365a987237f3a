// SPDX-License-Identifier: Apache-2.0
// Any bytes as what somebody applies to a small topology: a record of the base, a change and a frame,
// each ended by a line "%%". It is refused with a sentence, or what comes out can be read again.
#include "base/bytes.h"
#include "base/err.h"
#include "control/change.h"
#include "control/document_apply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char yaml[] =
    "version: 1\ndomain: example.io\nregions:\n"
    "  - { name: a, peer: 10.0.0.1:8443, stamps: [{ name: s1, ipv4: [192.0.2.1] }] }\n"
    "  - { name: b, peer: 10.0.0.2:8443, stamps: [{ name: s1, ipv4: [192.0.2.2] }] }\n"
    "name_servers: [s1.a]\nviews:\n  - { name: corp, sources: [10.1.0.0/16] }\nregistries:\n"
    "  - { name: contoso, regional_endpoints: enabled, replicas: [{ region: a }, { region: b }] }\n"
    "  - { name: fabrikam, replicas: [{ region: a, drained: true }] }\n"
    "private_endpoints:\n  - { name: pe, registry: contoso, view: corp, addresses: { registry: "
    "10.1.0.1 } }\n";

static void must(bool holds)
{
    if (!holds)
        abort();
}

static struct bytes part(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at;
    const uint8_t *mark = memmem(from, (size_t)(end - from), "%%\n", 3);
    if (!mark) {
        *at = end;
        return bytes_of(from, (size_t)(end - from));
    }
    *at = mark + 3;
    return bytes_of(from, (size_t)(mark - from));
}

static int look_up(void *ctx, const char *key, struct buf *out)
{
    const struct bytes *record = ctx;
    if (!record->n || strcmp(key, "applied/registry/contoso") != 0)
        return ERR_NOTFOUND;
    if (out)
        buf_add(out, record->p, record->n);
    return 0;
}

static int visit_all(void *ctx, const char *prefix, int (*visit)(void *v, const char *key), void *v)
{
    const struct bytes *record = ctx;
    (void)prefix;
    if (!record->n)
        return 0;
    return visit(v, "applied/registry/contoso");
}

static void check(const struct document_apply *a)
{
    AUTO_BUF struct buf text;
    struct arena arena;
    struct change c;
    struct doc_node *root;
    buf_init(&text, 0);
    arena_init(&arena, 0);
    buf_printf(&text, "version: 2\n%s", buf_cstr(&a->change));
    must(!change_parse(buf_cstr(&text), text.n, "out", 1, &arena, NULL, &c));
    if (a->frame.n)
        must(!doc_parse(buf_cstr(&a->frame), a->frame.n, "out", &arena, NULL, &root));
    for (size_t i = 0; i < a->n_records; i++)
        must(!strncmp(a->records[i].key, APPLIED_PREFIX, strlen(APPLIED_PREFIX)));
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct topology *t;
    if (!t && topology_parse(yaml, sizeof yaml - 1, "base", NULL, &t))
        abort();
    const uint8_t *at = data, *end = data + size;
    struct bytes record = part(&at, end);
    struct document_apply_in in = {.t = t,
                                   .whole = true,
                                   .wins = (enum document_winner)(size % 3),
                                   .look_up = look_up,
                                   .visit = visit_all,
                                   .ctx = &record};
    struct document_apply a;
    struct diag d;
    in.change = part(&at, end);
    in.frame = part(&at, end);
    diag_init(&d);
    int rc = document_apply(&in, &d, &a);
    must(!rc || rc == ERR_INVAL || rc == ERR_TOOBIG || rc == ERR_NOMEM);
    if (!rc)
        check(&a);
    document_apply_done(&a);
    diag_done(&d);
    return 0;
}
