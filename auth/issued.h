// SPDX-License-Identifier: Apache-2.0
// The refresh tokens that this region has issued, written down so that they can be listed and
// revoked. Only this region's: another one keeps a list of its own, and whoever asks is told so.
//
// A line of JSON for each, in files of the node's data (0600), by the writer of the audit log
// (auth/audit.h): a login formats its line into a bounded memory, and a thread writes it within some
// 20 ms and syncs it within 5 s. So a login waits for no disk, and a kill may take the last moment's
// lines: such a token is valid and not listed, and ends with its principal's generation as all do.
// Bounded: ISSUED_MAX_BYTES in two files, some 100,000 tokens; the oldest go first. No line holds a
// token, or anything by which one could be made.
//
//   issued_open(dir, "eastus", &diag, &i);
//   issued_note(i, &(struct issued_token){…});                        // any thread, never blocks
//   issued_read(i, &(struct issued_ask){.registry = "contoso", .n = 100}, principals, &doc);
#ifndef MERIDIAN_AUTH_ISSUED_H
#define MERIDIAN_AUTH_ISSUED_H

#include "base/addr.h"
#include "base/diag.h"
#include "config/principals.h"

#include <jansson.h>

#define ISSUED_MAX_BYTES (32u << 20)
#define ISSUED_PAGE_MAX 1000

struct issued;

struct issued_token { // borrowed for the call
    // its jti
    const char *id;
    const char *principal, *registry;
    struct ip client;
    uint64_t generation;
    // which of a named token's passwords got it (refresh_password_text); NULL: none
    const char *password;
    int64_t expires_s;
};

// In `dir`, of the node's data. Strings are copied.
int issued_open(const char *dir, const char *region, struct diag *diag, struct issued **out);
void issued_close(struct issued *i);                              // NULL is fine
void issued_note(struct issued *i, const struct issued_token *t); // i NULL: nothing

struct issued_ask {
    const char *registry;
    // only this principal's; NULL: everybody's
    const char *principal;
    // so many lines are looked at; 1 to ISSUED_PAGE_MAX
    size_t n;
    // `next` of the page before; NULL: from the newest
    const char *cursor;
};
// {"region":…,"tokens":[{"id","principal","client","issued","expires","state"}…],"next":…}, newest
// first; next "" at the end. State: "valid", "revoked" (by id), "ended" (its principal is gone or
// disabled, or has another generation or password), "expired". Blocks on the disk. ERR_INVAL: the
// cursor is none of ours; ERR_NOTFOUND: what it leads to is gone.
int issued_read(struct issued *i, const struct issued_ask *ask, const struct principals *all,
                json_t **out);

#endif
