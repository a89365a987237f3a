// SPDX-License-Identifier: Apache-2.0
// See signed.h.
#include "tests/support/signed.h"

#include "base/digest.h"
#include "certs/dns_keys.h"

#include <errno.h>
#include <poll.h>

static int add_key(struct buf *b, const char *dir, enum dnskey_zone zone, enum dnskey_role role,
                   enum dnskey_algorithm algorithm)
{
    struct dnskey k;
    char id[65], b64[b64_size(DNSKEY_PUBLIC_MAX)];
    int rc = dns_key_create(dir, zone, role, algorithm, NULL, id, &k);
    if (rc)
        return rc;
    b64_format(k.public, k.public_n, b64);
    buf_printf(b,
               "    - { id: %s, zone: %s, role: %s, algorithm: %s, state: active, since: "
               "\"2026-01-01T00:00:00Z\", key: "
               "\"%s\" }\n",
               id, dnskey_zone_name(zone), dnskey_role_name(role), dnskey_algorithm_name(algorithm),
               b64);
    return 0;
}

int signed_keys(struct buf *b, const char *dir, enum dnskey_algorithm algorithm, bool csk)
{
    int rc = 0;
    buf_printf(b, "dnssec:\n  keys:\n");
    for (int z = 0; z < 2; z++)
        for (int r = csk ? DNSKEY_CSK : DNSKEY_KSK; r <= (csk ? DNSKEY_CSK : DNSKEY_ZSK) && !rc;
             r++)
            rc = add_key(b, dir, (enum dnskey_zone)z, (enum dnskey_role)r, algorithm);
    return rc;
}

int signed_answer(struct answer_context *c, struct pending_inbox *inbox, const uint8_t *query,
                  size_t n, uint8_t *out, size_t cap, struct answer_info *info, size_t *out_n,
                  int *out_waits)
{
    int rc = -1;
    *out_waits = 0;
    for (; *out_waits < 10; ++*out_waits) {
        struct pollfd p = {.fd = pending_inbox_fd(inbox), .events = POLLIN};
        struct pending_mail m;
        c->ticket = pending_ticket_of(inbox, 0);
        *out_n = answer_packet(c, query, n, out, cap, info);
        rc = info->pending ? -1 : 0;
        if (!rc)
            break;
        int ready;
        while ((ready = poll(&p, 1, 20000)) < 0 && errno == EINTR) // a fuzzer has an alarm clock
            ;
        if (ready != 1)
            break;
        while ((m = pending_inbox_take(inbox)).news != PENDING_NOTHING)
            if (m.news != PENDING_RETRY)
                return -1;
    }
    pending_slot_done(inbox, 0);
    return rc;
}
