// SPDX-License-Identifier: Apache-2.0
// How much more content a region's disk takes: the free space of the store's file system, less a
// reserve, less what has been promised to writers and is not written yet. The reserve is for all
// that must go on when no content fits any more: metadata, its log and checkpoints, deletions and
// collection, certificates, state, and the edge's own files.
//
//   struct space_charge c = {0};
//   rc = space_take(space, content_length, &c);      // a known length: all of it, or ERR_NOSPACE
//                                                    // and nothing was taken
//   rc = space_grow(&c, n);                          // before each write of n bytes: the next
//                                                    // window, or ERR_NOSPACE
//   …write…; space_spend(&c, n);                     // written: from now on the file system counts
//                                                    // them
//   space_return(&c);                                // at the end, however it ended; what was not
//                                                    // written is free
//   again
//
// Whoever knows a length takes it up front; whoever does not begins with `space_take(space, 0, &c)`
// and grows by windows of SPACE_WINDOW_BYTES. `space_grow` is right for both: what is left of a
// charge is used up first.
//
// Rules
//   1. A charge is granted when it fits above the reserve together with all that is outstanding. So
//      writers that run at once never eat the reserve together.
//   2. The disk is *short* when not even one window fits above the reserve, and until a good deal
//      more does (a quarter of the reserve, at least two windows): so that it does not flap. While
//      it is short all new content is refused, also what would just fit: what health says and what
//      a push gets are the same. What was charged before goes on, and so does a writer that has
//      begun, window by window, for as long as they fit.
//   3. A manifest of a client (SPACE_ENTRY) may use the upper half of the reserve: a push whose
//      blobs are here ends. All else that is metadata asks nobody.
//   4. A region that is short for want of files (inodes) is short.
//
// The disk is measured once a second at most while there is plenty, and before anything is refused;
// it is written to by others, and a look is one statvfs(2). Threads: any; a charge is used by one
// thread at a time. Blocks for as long as statvfs does: call on the pool. Another process that has
// the same store open keeps charges of its own.
#ifndef MERIDIAN_STORE_SPACE_H
#define MERIDIAN_STORE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPACE_WINDOW_BYTES (1u << 20)
// a reserve given as a share is never more: the reserve has its uses counted
#define SPACE_SHARE_MAX_BYTES (10ull << 30)
#define SPACE_TEXT_SIZE 256

struct space_disk { // of a file system
    uint64_t total_bytes, free_bytes;
    // total 0: it has no such limit
    uint64_t total_files, free_files;
};

struct space;
struct space_options {
    // any directory of the file system
    const char *dir;
    // The reserve: an amount, or (amount 0) a share in percent of the file system. Both 0: none;
    // then the disk is short when a window does not fit.
    uint64_t reserve_bytes;
    unsigned reserve_percent;
    // for tests, instead of dir
    int (*measure)(void *ctx, struct space_disk *out);
    void *measure_ctx;
};
// ERR_NOTFOUND … when the directory cannot be measured.
int space_open(const struct space_options *o, struct space **out);
void space_close(struct space *s); // no charge is outstanding any more

enum space_use { SPACE_CONTENT, SPACE_ENTRY };
struct space_charge { // zero is none; copied by nobody
    struct space *space;
    // granted and not written
    uint64_t left;
    enum space_use use;
};

// Without a space (NULL) everything is granted. ERR_NOSPACE: refused; *out is untouched.
int space_take(struct space *s, uint64_t bytes, struct space_charge *out);
int space_take_entry(struct space *s, uint64_t bytes, struct space_charge *out); // rule 3
int space_grow(struct space_charge *c, uint64_t bytes); // afterwards at least so many are left
void space_spend(struct space_charge *c, uint64_t bytes);
void space_return(struct space_charge *c);

// How things stand. `text` says why the disk is short, with figures, for operators; "" while it is
// not.
struct space_view {
    struct space_disk disk;
    uint64_t reserve_bytes;
    uint64_t outstanding_bytes;
    // what still fits above the reserve; 0 when nothing does
    uint64_t room_bytes;
    bool is_short;
    // it is short for want of files
    bool of_files;
    // wall clock: of the last change of is_short, or of the opening
    int64_t changed_ms;
    // charges, since the opening
    uint64_t n_refused;
    char text[SPACE_TEXT_SIZE];
};
// Measures first. ERR_IO …: the disk could not be measured, and the last measure is told. Called by
// housekeeping every few seconds: what changes between two writers' charges is seen then.
int space_look(struct space *s, struct space_view *out);
// Would so many bytes of content fit if nobody else wrote any? For what can be parked until there
// is room; a length that never fits is told from one that has to wait by `total`.
bool space_fits(struct space *s, uint64_t bytes);

#endif
