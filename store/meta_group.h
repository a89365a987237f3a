// SPDX-License-Identifier: Apache-2.0
// What counts of a register's entries of one kind and one origin: those that may still matter beside
// what other origins wrote. A snapshot has these (store/meta_snapshot.h), and all others may leave the
// log (store/meta_drop.h). For the files of store's metadata only; pure.
//
//   group_begin(g, kind, &first->entry, NULL);
//   for each row of the register: group_take(g, row);
//   group_close(g);                                  // g->list, in no order
#ifndef MERIDIAN_STORE_META_GROUP_H
#define MERIDIAN_STORE_META_GROUP_H

#include "store/backend_survey.h"
#include "store/meta_merge.h"
#include "store/meta_snapshot.h"

#define GROUP_MAX 256 // of one register

// An entry of a register that stays.
struct group_entry {
    int64_t id;
    struct feed_mark place;
    // its value, without the origin, which is beside it
    struct register_value value;
    char origin[HOSTNAME_REGION_SIZE];
};

// The register whose rows are being looked at.
struct register_group {
    enum entry_kind kind;
    bool open;
    char tag[ENTRY_TAG_SIZE];
    struct digest digest;
    // entries up to here were given before; epoch 0: none
    struct feed_mark given;
    uint64_t looked;
    // more entries are to be given than `list` holds
    bool overflows;
    struct manifest_now m;
    struct lock_now l;
    // a person's tombstone with the highest stamp, beside those of `list`; id 0: none
    struct group_entry person;
    struct group_entry list[GROUP_MAX + 1];
    size_t n;
};

bool group_by_tag(enum entry_kind kind); // registers of this kind are told apart by tags
// Entries of the register that `e` is of. `within`: those up to its place were given before; NULL: none.
void group_begin(struct register_group *g, enum entry_kind kind, const struct feed_entry *e,
                 const struct snapshot_at *within);
bool group_is_of(const struct register_group *g, const struct feed_entry *e);
void group_take(struct register_group *g, const struct log_row *row);
void group_close(struct register_group *g);
bool group_has(const struct register_group *g, int64_t id);

#endif
