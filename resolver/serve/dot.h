// SPDX-License-Identifier: Apache-2.0
// The TLS of DNS over TLS (RFC 7858): the server's identity, read from a PEM file with certificate
// chain and key and published as a snapshot; and one session on a worker's connection, which never
// blocks. TLS 1.2 and later, ALPN "dot", no renegotiation, no early data.
//
//   rc = dot_identity_load(path, &diag, &id);         // off the workers; snapshot_publish(&cell,
//                                                     // id)
//   struct dot_session *s = dot_session_new(id, fd);  // a worker's
//   n = dot_read(s, buf, cap);                        // as recv: bytes, 0 at the end, DOT_WAIT,
//                                                     // DOT_BROKEN
//   dot_session_free(s);                              // says goodbye, does not close fd
//
// The handshake happens within the first reads. A session keeps its identity: a renewed certificate
// is shown to new connections, and the others go on.
#ifndef MERIDIAN_RESOLVER_SERVE_DOT_H
#define MERIDIAN_RESOLVER_SERVE_DOT_H

#include "base/diag.h"
#include "base/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define DOT_WAIT (-1)   // for the socket: for writing if dot_wants_write
#define DOT_BROKEN (-2) // close it

struct dot_identity;
struct dot_session;

// ERR_DENIED: others may read the key. ERR_CRYPTO, ERR_NOMEM, of reading.
int dot_identity_load(const char *pem_path, struct diag *diag, struct dot_identity **out);

struct dot_session *dot_session_new(struct dot_identity *id, int fd); // NULL: out of memory
void dot_session_free(struct dot_session *s);
bool dot_is_open(const struct dot_session *s); // the handshake is done
ssize_t dot_read(struct dot_session *s, void *p, size_t n);
ssize_t dot_write(struct dot_session *s, const void *p, size_t n);
bool dot_wants_write(const struct dot_session *s); // the last call waits for room in the socket
bool dot_has_more(const struct dot_session *s);    // bytes are here that the socket will not report

#endif
