// SPDX-License-Identifier: Apache-2.0
// Any bytes as a base of the control feed, with the lengths and digests of it and of the topology in
// it made right so that what lies behind them is reached: refused with a sentence, or a state that
// gives the same bytes again.
#include "base/digest.h"
#include "base/err.h"
#include "control/base_form.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_AT 48
#define TAKEOVER_AT (BODY_AT + 48 + 16 + 48 + 48)

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void make_right(uint8_t *p, size_t n, const char *magic)
{
    memcpy(p, magic, 7);
    put_u64(p + 8, n);
    sha256(p + BODY_AT, n - BODY_AT, p + 16);
}

// The topology stands behind the takeover's line.
static void make_topology_right(uint8_t *p, size_t n)
{
    if (n < TAKEOVER_AT + 16)
        return;
    uint64_t takeover = get_u64(p + TAKEOVER_AT);
    if (takeover > n - TAKEOVER_AT - 16)
        return;
    size_t at = TAKEOVER_AT + 8 + (size_t)takeover;
    uint64_t topology = get_u64(p + at);
    if (topology > BODY_AT && topology <= n - at - 8)
        make_right(p + at + 8, (size_t)topology, "MERIDTC");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag d;
    struct control_state *s = NULL;
    uint8_t *p = malloc(size + 1);
    if (!p)
        return 0;
    if (size)
        memcpy(p, data, size);
    if (size > BODY_AT) {
        make_topology_right(p, size);
        make_right(p, size, "MERIDCB");
    }
    diag_init(&d);
    int rc = control_base_parse(TOPOLOGY_FULL, bytes_of(p, size), "home.yaml", "fuzz", &d, &s);
    must((rc == 0) == (s != NULL));
    must(rc == ERR_NOMEM || (rc == 0) == (diag_count(&d) == 0));
    if (s) {
        AUTO_BUF struct buf out, again;
        struct control_state *t = NULL;
        buf_init(&out, 0);
        buf_init(&again, 0);
        must(!control_base_format(s, &out));
        must(!control_base_parse(TOPOLOGY_COMPACT, bytes_of(out.p, out.n), "home.yaml", "again",
                                 NULL, &t));
        must(!control_base_format(t, &again));
        must(out.n == again.n && !memcmp(out.p, again.p, out.n)); // whatever the form
        snapshot_unref(t);
    }
    snapshot_unref(s);
    diag_done(&d);
    free(p);
    return 0;
}
