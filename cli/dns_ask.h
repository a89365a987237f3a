// SPDX-License-Identifier: Apache-2.0
// One question to one name server, as a client asks it: without recursion, within two seconds, once.
//
//   struct dns_answer a;
//   if (dns_ask(&server, "contoso.example.io", DNS_ASK_A, false, &a))
//       … nobody answers there
//   else if (!a.n)
//       … a.rcode says why: "NXDOMAIN"
//
// Blocks. Single-threaded.
#ifndef MERIDIAN_CLI_DNS_ASK_H
#define MERIDIAN_CLI_DNS_ASK_H

#include "base/addr.h"

#include <stdbool.h>
#include <stddef.h>

#define DNS_ASK_ADDRESSES_MAX 16

enum dns_ask_type { DNS_ASK_A, DNS_ASK_AAAA, DNS_ASK_SOA };

struct dns_answer {
    // "NOERROR", "NXDOMAIN", "REFUSED" …
    char rcode[16];
    // A and AAAA records of the answer section, in its order; those beyond the bound are left out
    struct ip addresses[DNS_ASK_ADDRESSES_MAX];
    size_t n;
};

// ERR_UNREACHABLE: no answer came; ERR_INVAL: that is no name; ERR_NOMEM.
int dns_ask(const struct endpoint *at, const char *name, enum dns_ask_type type, bool tcp,
            struct dns_answer *out);

#endif
