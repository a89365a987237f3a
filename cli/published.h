// SPDX-License-Identifier: Apache-2.0
// Has everybody who answers for fe.D a stamp's name? All addresses of the topology's name servers
// are asked, the secondaries that it tells of changes, and those of transfer.secondaries, side by
// side.
//
// One that is down cannot deny the name to anybody, and is told from one that answers without it by
// this: neither UDP, three times, nor TCP brings any answer, of whatever kind. Every answer but the
// stamp's addresses, with authority, means that it lacks the name: also SERVFAIL or REFUSED, for
// such a server is up and may come to itself.
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
