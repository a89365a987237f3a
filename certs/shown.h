// SPDX-License-Identifier: Apache-2.0
// What a TLS listener of this node goes by at this moment, by a handshake with it: the CAs by which it
// verifies clients, as it names them to each (RFC 8446 section 4.2.4, RFC 5246 section 7.4.4), and the
// certificate that it shows. Files say only what it will go by when it has read them.
//
//   struct shown s;
//   rc = shown_look(&node->peer, certs_dir, 1000, &s);
//
// Any thread; blocks for some multiple of timeout_ms at most. No state.
#ifndef MERIDIAN_CERTS_SHOWN_H
#define MERIDIAN_CERTS_SHOWN_H

#include "base/addr.h"
#include "certs/trust.h"

struct shown {
    // fingerprints of CAs in ca.pem that it names; how many it names that are not there
    char asks[TRUST_MAX][65];
    size_t n_asks, n_foreign;
    // of the CA in ca.pem that has issued the certificate which it shows; "": none there has
    char issuer[65];
};

// `at`: where it listens; an address of all addresses is asked by loopback. ERR_UNREACHABLE: nobody
// there speaks TLS in time; ERR_NOTFOUND: no ca.pem.
int shown_look(const struct endpoint *at, const char *certs_dir, int timeout_ms, struct shown *out);

#endif
