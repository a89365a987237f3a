// SPDX-License-Identifier: Apache-2.0
// The audit log of a node: who did what, from where, to which content, and how it ended. One line
// of JSON for each grant, login, push, delete, lock, restore, mount, revocation and refusal, in a
// file of the node (settings audit.*), 0600. Reads that were allowed are not in it.
//
//   {"time":"2026-11-29T09:20:55.123Z","what":"push","outcome":"done","registry":"contoso",
//    "repository":"team/app","reference":"1.2","digest":"sha256:…","principal":"ada",
//    "client":"10.0.0.9","region":"eastus","stamp":"eus-1","id":"0a1b…"}
//
//   audit_start(&o, &diag, &a);
//   audit_write(a, &(struct audit_event){.what = "push", …});       // any thread
//   audit_stop(a);                                                  // what waits is written first
//
// audit_write formats the line into a bounded memory and returns: a thread of the log's own writes
// it. Nothing here waits for the disk, and an event needs no memory but the stack's.
//
// What may be lost
//   - a kill: events of the last moment, at most some 20 ms of a busy node, and a line may be
//     torn. The next process ends that line, so that it spoils no other. Whoever reads the file
//     skips lines that are no JSON.
//   - a disk that is full or broken: lines wait in memory (AUDIT_MEMORY_BYTES) and are written when
//     it takes them; beyond that they are lost and counted, the log says {"what":"lost","n":…} once
//     it can, and audit_status has it for a condition and the metrics.
//   - somebody who truncates the file loses what he takes away, and no more: lines are appended to
//     the end that the file has.
// Refusals, and all that strangers cause without a credential (an event with `stranger`), are
// admitted by network, as refusals in the daemon's log are (net/refusals.h), so that nobody drives
// the lines of others out of the file by knocking; refusals of known callers have accounts of their
// own. The log tells how many it left out: {"what":"left_out","n":…}.
//
// Secrets: an event has no member for one. `why` and `detail` come from handlers, whose sentences
// hold none; every value is bounded, and what is no printable ASCII is escaped.
#ifndef MERIDIAN_AUTH_AUDIT_H
#define MERIDIAN_AUTH_AUDIT_H

#include "base/addr.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_LINE_MAX 2048             // with its end
#define AUDIT_VALUE_MAX 256             // bytes of one value; longer ones are cut
#define AUDIT_MEMORY_BYTES (512u << 10) // of lines that wait for the writer

// Borrowed for the call. NULL and "" are left out of the line.
struct audit_event {
    // "grant", "login", "exchange", "push", "upload", "mount", "delete", "lock", "unlock",
    // "restore", "revoke", "refusal", "admin", …
    const char *what;
    // "done", "refused", "failed"
    const char *outcome;
    // the caller, as far as it is known; never what somebody typed as a name without its password
    const char *principal;
    struct ip client;
    // by whose address the caller came, when it was one's
    const char *private_endpoint;
    // the registry by its key (config/registry_key.h): what an earlier one of its name did is not its own
    const char *registry, *repository, *reference;
    // n 0 or NULL: none
    const struct digest *digest;
    // of a refusal, in the words of the answer
    const char *code, *why;
    const char *request_id;
    // what was granted, changed, …
    const char *detail;
    // anybody can cause it, without a credential
    bool stranger;
};

struct audit;
struct audit_options {
    // made with 0600 when it is absent
    const char *path;
    // a file of so many bytes becomes PATH.1, that one PATH.2 and so on; 0: never
    uint64_t max_bytes;
    // how many older files are kept
    unsigned keep;
    // of this node, in every line
    const char *region, *stamp;
};
// Opens the file and starts the writer. Strings are copied. A file that cannot be opened now is
// tried again every second, and is a condition meanwhile: no error.
int audit_start(const struct audit_options *o, struct diag *diag, struct audit **out);
// Never blocks on a disk. a NULL: nothing.
void audit_write(struct audit *a, const struct audit_event *e);
// The file is opened anew, soon: it was moved away. Any thread; NULL is fine.
void audit_reopen(struct audit *a);
// Writes what waits, as far as the disk takes it at once. NULL is fine.
void audit_stop(struct audit *a);
// Returns when all that was written before this call is in the file, or ERR_TIMEOUT. For tests, and
// before a page is read.
int audit_flush(struct audit *a, unsigned timeout_ms);

struct audit_status {
    // lines: in the file, lost, left out of what strangers cause
    uint64_t n_written, n_lost, n_left_out;
    // bytes that wait
    size_t waiting;
    // 0, or why the file takes nothing now
    int error;
    // wall; 0: nothing was lost in this process's life
    int64_t lost_at_ms;
};
void audit_status(const struct audit *a, struct audit_status *out); // a NULL: all 0
const char *audit_path(const struct audit *a);

// A page of one registry's events, newest first. Blocks on the disk: on a pool. At most
// AUDIT_SCAN_BYTES of the files are looked at for one page; then `next` leads on though the page is
// not full.
#define AUDIT_PAGE_MAX 1000
#define AUDIT_SCAN_BYTES (16u << 20)
#define AUDIT_CURSOR_SIZE 48

struct audit_ask {
    const char *registry;
    // 1 to AUDIT_PAGE_MAX
    size_t n;
    // RFC 3339; only what happened then or later. NULL: whatever there is
    const char *since;
    // of the page before; NULL: from the newest
    const char *cursor;
};
struct audit_page {
    // raw lines with ',' between them: the elements of a JSON array
    struct buf lines;
    size_t n;
    // "" at the end
    char next[AUDIT_CURSOR_SIZE];
};
// ERR_INVAL: since or cursor is none of ours; ERR_NOTFOUND: the cursor's file is gone by rotation.
// The page is empty and initialised when it fails; audit_page_done always.
int audit_read(struct audit *a, const struct audit_ask *ask, struct audit_page *out);
void audit_page_done(struct audit_page *p);

#endif
