// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a stranger may send before it has a certificate, and what an operator pastes: a
// request to join, a join token, a record of one. Each is refused with one sentence, or taken and
// then has the form that its header promises.
#include "base/arena.h"
#include "base/err.h"
#include "fleet/join_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void request(const uint8_t *data, size_t size, struct arena *a)
{
    struct join_request q;
    struct diag d;
    diag_init(&d);
    int rc = join_request_parse(bytes_of(data, size), a, &d, &q);
    must((rc == 0) == (diag_count(&d) == 0));
    if (!rc) {
        char identity[65];
        must(hostname_region_ok(q.row.name) && hostname_stamp_ok(q.row.stamp));
        must(q.row.n_ipv4 + q.row.n_ipv6 > 0 && q.row.peer.port);
        must(!strncmp(q.feed_key.id, q.row.name, strlen(q.row.name)));
        must(!join_request_identity(&q, identity));
        must(join_request_verify(&q, q.feed_key.spki, NULL) != ERR_INVAL);
    }
    diag_done(&d);
}

static void token(const char *text, size_t n)
{
    struct join_token t, again;
    if (join_token_parse(text, n, NULL, &t))
        return;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    must(!join_token_format(&t, &b) && !join_token_parse(b.p, b.n, NULL, &again));
    must(!memcmp(&t, &again, sizeof t));
}

static void record(const char *text, struct arena *a)
{
    struct join_record r, again;
    if (join_record_parse(text, a, &r))
        return;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    must(!join_record_format(&r, &b) && !join_record_parse(b.p, a, &again));
    must(r.state == again.state && r.expires_ms == again.expires_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 8u << 20);
    request(data, size, &a);
    token((const char *)data, size);
    const char *text = arena_strndup(&a, (const char *)data, size);
    if (text)
        record(text, &a);
    arena_done(&a);
    return 0;
}
