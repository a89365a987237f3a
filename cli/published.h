// SPDX-License-Identifier: Apache-2.0
// Checks that every name server of fe.D answers for a stamp's name. It asks all addresses of the
// topology's name servers, of the secondaries that are notified of changes, and of
// transfer.secondaries, at the same time.
//
// A server that is down cannot deny the name to anybody, and does not count. A server counts as
// down when neither UDP, three times, nor TCP brings any answer at all. Any answer other than the
// stamp's addresses with authority means that the server lacks the name. SERVFAIL and REFUSED do so
// too: such a server is up, and may answer for the zone again later.
#ifndef MERIDIAN_CLI_PUBLISHED_H
#define MERIDIAN_CLI_PUBLISHED_H

#include "cli/cli.h"

enum publishing { PUBLISHED, PUBLISHED_NOT, PUBLISHED_SILENT };

struct publisher {
    struct endpoint at;
    // "name server eus-1.eastus", "notify target", "secondary"
    const char *what;
    enum publishing state;
    // when it has not got it
    char why[160];
};

// Arena; NULL when out of memory. `dns_port`: of the name servers.
struct publisher *published_list(struct cli *c, uint16_t dns_port, size_t *out_n);
void published_ask(const struct topology *t, const struct stamp *s, struct publisher *list,
                   size_t n);

#endif
