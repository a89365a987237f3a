// SPDX-License-Identifier: Apache-2.0
// The one table of error codes. Every fallible function returns 0 or one of these, negative.
//
//   int rc = file_read(path, MAX, &buf);
//   if (rc) log_error("%s: %s", path, err_text(rc));
//
// Where a person will read why, a `struct diag *` (base/diag.h) carries the sentence as well. What
// a code means on the wire (rcode, HTTP status, OCI error) is chosen in exactly one file at each
// room's edge.
#ifndef MERIDIAN_BASE_ERR_H
#define MERIDIAN_BASE_ERR_H

#define ERR_TABLE(X)                                \
    X(NOMEM, "out of memory")                       \
    X(INVAL, "malformed or not allowed here")       \
    X(RANGE, "out of range")                        \
    X(TOOBIG, "larger than its limit")              \
    X(TRUNC, "ends too early")                      \
    X(NOTFOUND, "not found")                        \
    X(EXISTS, "exists already")                     \
    X(CONFLICT, "conflicts with the present state") \
    X(DENIED, "not permitted")                      \
    X(AUTH, "not authenticated")                    \
    X(EXPIRED, "expired")                           \
    X(DIGEST, "content does not match its digest")  \
    X(CORRUPT, "stored data is damaged")            \
    X(VERSION, "version not supported")             \
    X(IO, "input/output error")                     \
    X(NOSPACE, "no space left")                     \
    X(BUSY, "too much work waiting, try again")     \
    X(TIMEOUT, "timed out")                         \
    X(CLOSED, "closed")                             \
    X(UNREACHABLE, "cannot be reached")             \
    X(PROTO, "peer broke the protocol")             \
    X(CRYPTO, "cryptographic operation failed")     \
    X(UNSUPPORTED, "not supported")                 \
    X(CANCELED, "canceled")                         \
    X(READONLY, "the disk is read-only")            \
    X(NOFILES, "too many files are open")           \
    X(AHEAD, "stamped too far ahead of the clock")  \
    X(INUSE, "another program has it")              \
    X(FULL, "as many as are allowed are there")     \
    X(LOCKED, "locked")                             \
    X(FROZEN, "needs a newer program here")         \
    X(BEHIND, "a region runs an older version")     \
    X(GAP, "entries before it are missing")         \
    X(QUOTA, "more than the quota allows")          \
    X(GONE, "not kept any more")

enum err {
    ERR_OK = 0,
#define X(name, text) ERR_POS_##name,
    ERR_TABLE(X)
#undef X
#define X(name, text) ERR_##name = -ERR_POS_##name,
        ERR_TABLE(X)
#undef X
};

const char *err_name(int code); // "NOTFOUND"; "OK" for 0; "UNKNOWN" for any other
const char *err_text(int code); // "not found"; never NULL
int err_from_errno(int e); // ENOSPC and EDQUOT → ERR_NOSPACE, ENOENT → ERR_NOTFOUND, else ERR_IO …
#ifdef __clang_analyzer__ // tools/analyse: it is called after a failure, so never 0
#define err_from_errno(e) ((void)(e), ERR_IO)
#endif

#endif
