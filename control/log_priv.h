// SPDX-License-Identifier: Apache-2.0
// Shared by the files of the log only: its index (log.c), what is read by it (log_read.c), and what
// is written (log_write.c).
//
// Invariants
// 1. rows[i] stands at sequence first.seq + 1 + i, and chains to what stands before it.
// 2. segments are in the order in which they were begun; rows and voids name them by number, the
//    oldest that is kept being `first_segment`.
// 3. The index is touched under the lock. Files are only appended to, so that what a row names can
//    be read without it.
#ifndef MERIDIAN_CONTROL_LOG_PRIV_H
#define MERIDIAN_CONTROL_LOG_PRIV_H

#include "control/base_form.h"
#include "control/log.h"

#include <pthread.h>

struct log_row {
    struct control_log_row row;
    uint64_t segment;
    // in its file, with the newline
    uint64_t at;
    uint32_t n;
};

struct log_segment {
    // where it begins
    uint64_t epoch, seq;
    // of its entries, as far as they were read
    uint64_t size;
    // what follows was damaged
    bool damaged;
    bool has_base;
    struct control_base_info base;
};

struct log_checkpoint {
    // of the base; and of the entry that signs it
    struct control_place at, entry;
    uint8_t digest[SHA256_BYTES];
};

struct control_log {
    struct control_log_options o;
    char *dir, *home;
    // of the writer; -1: this process does not write
    int lock_fd, fd;
    // an append that failed is still to be taken back
    bool broken;
    // segments after an entry that could not be applied, to be put aside
    struct log_segment *cut;
    size_t n_cut;
    pthread_mutex_t lock;
    // a base to begin with was found
    bool begun;
    struct control_place first, last;
    struct log_row *rows, *voids;
    size_t n_rows, cap_rows, n_voids, cap_voids;
    struct log_segment *segments;
    size_t n_segments;
    uint64_t first_segment;
    struct log_checkpoint *checkpoints;
    size_t n_checkpoints, cap_checkpoints;
};

char *log_path(const struct control_log *l, uint64_t epoch, uint64_t seq, const char *suffix);
struct log_segment *log_segment(struct control_log *l, uint64_t number);
// Reads what the folder has, anew or further. ERR_NOMEM, or what the system says.
int log_scan(struct control_log *l);
// The row in force at that place, or NULL.
const struct log_row *log_find(const struct control_log *l, const struct control_place *p);
bool log_has(const struct control_log *l, const struct control_place *p);
// Is its base there, and of a place in force?
bool log_base_holds(const struct control_log *l, const struct log_segment *s);
// Enters an entry whose line stands there. ERR_CONFLICT: it does not go on from the last one.
int log_enter(struct control_log *l, const struct control_entry *e, uint64_t segment, uint64_t at,
              uint32_t n);
const struct log_checkpoint *log_checkpoint_of(const struct control_log *l,
                                               const struct control_place *at);
int log_segment_add(struct control_log *l, uint64_t epoch, uint64_t seq);

#endif
