// SPDX-License-Identifier: Apache-2.0
// Files that the resolver reads while it runs: the secret of DNS cookies and the certificate of DNS
// over TLS. A thread of its own looks once a second and publishes what changed. A file that cannot
// be read leaves the old value in force, with a line in the log.
//
//   // reads all of it once: what is wrong then is an error
//   rc = secret_reload_start(&settings, pem_path, 0, &diag, &u);
//   // struct cookies, or NULL when they are off
//   … snapshot_reader_get(&reader, secret_reload_cookies(u)) …
//   secret_reload_stop(u);
#ifndef MERIDIAN_RESOLVER_SERVE_SECRET_RELOAD_H
#define MERIDIAN_RESOLVER_SERVE_SECRET_RELOAD_H

#include "base/diag.h"
#include "base/snapshot.h"
#include "config/node_dns.h"

struct secret_reload;

// `pem_path` NULL: no DNS over TLS. `look_ms`: how often; 0: once a second.
int secret_reload_start(const struct node_dns *settings, const char *pem_path, unsigned look_ms,
                        struct diag *diag, struct secret_reload **out);
void secret_reload_stop(struct secret_reload *u);
struct snapshot *secret_reload_cookies(struct secret_reload *u);
struct snapshot *secret_reload_identity(struct secret_reload *u); // struct dot_identity

#endif
