// SPDX-License-Identifier: Apache-2.0
// Option rows of the `dns:` section; see node_dns.h.
#include "config/node_dns.h"

#include "base/mem.h"
#include "config/options.h"

#include <string.h>

#define DNS_AT(member) OPT_AT(struct node_dns, member)

static bool nsid_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < ' ' || s[i] > '~')
            return false;
    return n >= 1 && n <= 64;
}

static const struct option dns_rows[] = {
    {"nsid", OPT_STRING, DNS_AT(nsid), .check = nsid_ok, .expect = "1 to 64 printable characters",
     .help = "how this server names itself to those who ask (RFC 5001); nothing when not given"},
    {"tsig_dir", OPT_STRING, DNS_AT(tsig_dir), .max = 2000,
     .help = "where the secrets of TSIG keys are, NAME.key each; default is keys/tsig in data_dir"},
};

const struct option_set node_dns_set = {dns_rows, ARRAY_LEN(dns_rows), sizeof(struct node_dns), OPT_NO_NODE};
