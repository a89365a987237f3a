// SPDX-License-Identifier: Apache-2.0
// How much more content a region's disk takes: the free bytes of the store's file system, less a
// reserve, less what was promised to writers and is not written yet. The reserve is for everything
// that must go on when no content fits: metadata with its log and checkpoints, deletions and
// collection, certificates, state, and the edge's own files.
//
//   struct space_charge c = {0};
//   rc = space_take(space, content_length, &c);      // a known length: all of it, or ERR_NOSPACE
//                                                    // and nothing was taken
//   rc = space_grow(&c, n);                          // before each write of n bytes: the next
//                                                    // window, or ERR_NOSPACE
//   …write…; space_spend(&c, n);                     // written: from now on the file system counts
//                                                    // them
//   space_return(&c);                                // at the end, however it ended: bytes that
//                                                    // were not written are free again
//
// A writer of a known length takes it up front. A writer of an unknown length begins with
// `space_take(space, 0, &c)` and grows by windows of SPACE_WINDOW_BYTES. `space_grow` is right for
// both: it uses up the rest of a charge first.
//
// Rules
//   1. A charge is granted when it fits above the reserve together with all outstanding charges. So
//      writers that run at once never eat the reserve together.
//   2. The disk is *short* when not even one window fits above the reserve, and until a quarter of
//      the reserve more fits (at least two windows): so the state does not flap. While the disk is
//      short all new content is refused, also content that would just fit: health and pushes say the
//      same. Earlier charges go on, and a writer that has begun goes on window by window for as long
//      as they fit.
//   3. A client's manifest (SPACE_ENTRY) may use the upper half of the reserve: a push whose blobs
//      are here can end. All other metadata is written without asking.
//   4. A region that is short of files (inodes) is short.
//
// The disk is measured at most once a second while there is plenty, and before any refusal, because
// other programs write to it too; a measure is one statvfs(2). Threads: any; one thread at a time
// uses a charge. Blocks for as long as statvfs does: call on the pool. Another process that has the
// same store open keeps charges of its own.
#ifndef MERIDIAN_STORE_SPACE_H
#define MERIDIAN_STORE_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPACE_WINDOW_BYTES (1u << 20)
// a reserve that is given as a share is never more than this: its uses do not grow with the disk
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
// Makes up to so many of the granted bytes another charge's, which is none or of the same space.
void space_move(struct space_charge *from, uint64_t bytes, struct space_charge *to);

// The state of the disk. `text` tells operators why the disk is short, with figures; "" while it is
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
// Measures first. ERR_IO …: the disk could not be measured, and *out has the last measure.
// Housekeeping calls it every few seconds, so that changes are seen also while nobody writes.
int space_look(struct space *s, struct space_view *out);
// Would so many bytes of content fit if nobody else wrote any? For work that can wait until there
// is room; `disk.total_bytes` tells a length that will never fit.
bool space_fits(struct space *s, uint64_t bytes);

#endif
