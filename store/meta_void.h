// SPDX-License-Identifier: Apache-2.0
// Entries that are void, and own entries that were lost: revoked keys, recovery from peers, and the
// mending of a store that holds stamps of the future. See meta.h for threads, arenas and errors.
//
//   rc = meta_revoke(m, list, n, &told);
//   for (struct meta_swept s = {.more = true}; !rc && s.more;)
//       rc = meta_revoke_sweep(m, 1000, &s);
//
// An entry that becomes void leaves the log, and a register that it may have won goes to the
// highest value left in the log, whatever the bound of a tag's history; a tag without one is gone.
// A manifest that nobody asserts any more goes too, once nothing holds it. A tombstone that becomes
// void gives back what it had ended, and what is not here any more is fetched again.
#ifndef MERIDIAN_STORE_META_VOID_H
#define MERIDIAN_STORE_META_VOID_H

#include "base/arena.h"
#include "store/entry.h"

#include <stdbool.h>
#include <stdint.h>

struct meta;

// --- revoked keys ---

// A feed key that was stolen is revoked from a place of its feed on: entries that it signed past
// (epoch, seq) are void, and at that place all but the one with that hash. seq 0: all of that epoch
// and of later ones.
struct meta_revocation {
    const char *origin, *key;
    uint64_t epoch, seq;
    // running hash of the last good entry
    uint8_t hash[ENTRY_HASH_BYTES];
};
struct meta_revoked {
    // revocations that are new, or name an earlier place than before
    size_t n_new;
    // revocations that name a later place than before: a revocation is final
    size_t n_ignored;
};
// From its return on no void entry is taken in, applied, relayed, recovered or written. Void entries
// that are held stay until meta_revoke_sweep.
int meta_revoke(struct meta *m, const struct meta_revocation *list, size_t n,
                struct meta_revoked *out);
struct meta_swept {
    size_t n_void;
    bool more;
};
// Looks at up to `max` entries, and makes void which are. Call it until out->more is false. A sweep
// that is broken off goes on in the next process.
int meta_revoke_sweep(struct meta *m, size_t max, struct meta_swept *out);
// Sets the read mark of this origin back to where its key was revoked, once per revocation, so that
// the entries behind that place are read again. Only the thread that ingests this origin calls it,
// between two sessions.
int meta_revoke_rewind(struct meta *m, const char *origin);
// The origin's feed does not go on from the entries that were read of it, before the place where
// its key was revoked: the next meta_revoke_rewind makes all of it be read again. When an entry is
// then offered (meta_ingest) for a place in which a revoked key signed another one, the one that is
// held becomes void.
int meta_revoke_reread(struct meta *m, const char *origin);
// The key that signs own entries is revoked: none can be written.
bool meta_key_revoked(struct meta *m);

// --- the list of void entries ---

struct voided_row {
    int64_t id;
    // "revoked"; "ahead", "mended", "withdrawn": see meta_repair_clock, meta_void_origin
    const char *reason;
    // "stood": it was the register's value; "replaced"; "pending": it was not applied yet
    const char *was;
    // wall
    int64_t at_ms;
    struct feed_entry entry;
    // whether its register has a value now, and which
    bool there;
    struct digest now;
};
// The oldest first, from after the row with the id `after`.
int meta_voided(struct meta *m, const char *registry, int64_t after, size_t max, struct arena *a,
                struct voided_row **out, size_t *out_n);

// --- own entries that were lost (invariant 8) ---

struct recovered {
    size_t n_put_back, n_restated;
    // in which own entries are written from now on; set also for n == 0
    uint64_t epoch;
};
// Own entries that a peer has and this store lost. In one transaction they are put back into the
// log and applied; one whose content is not here becomes a job of this region itself. Entries that
// peers have already read past are announced again, as new entries that restate them: entries of a
// closed epoch, and entries in whose place another one stands (then a new epoch begins). Entries
// that are held, and those that were restated before, are passed over. ERR_AHEAD: one is of the
// future; ERR_INVAL: one is malformed (entry_malformed). Then nothing was done.
int meta_recover(struct meta *m, const struct feed_entry *entries, size_t n, struct recovered *out);
// Would meta_recover do anything for this own entry?
int meta_lost(struct meta *m, const struct feed_entry *e, bool *out);
// Begins a new epoch: greater than at_least and than every epoch of ours that is held.
int meta_epoch_begin(struct meta *m, uint64_t at_least, uint64_t *out_epoch);

// --- stamps of the future that are here already ---

struct void_register { // a register that shows another value
    const char *registry, *repository;
    // "": the presence of the manifest `was`, or `is`
    const char *tag;
    // was.n 0: it showed none; is.n 0: it shows none any more
    struct digest was, is;
    // of the value or tombstone that it had
    uint64_t stamp;
    const char *origin;
};
struct void_report {
    // entries that became void, and jobs of theirs
    size_t n_entries, n_jobs;
    // tags that changed their value or went; manifests that went
    size_t n_tags, n_manifests;
    // the first of these registers, at most 1,000
    struct void_register *list;
    size_t n_list;
};
// Another region says that its entries after `after` and before epoch `below` are void. A read mark
// in that stretch goes back to `after`.
int meta_void_origin(struct meta *m, const char *origin, const struct feed_mark *after,
                     uint64_t below, struct arena *a, struct void_report *out);

struct clock_repair {
    // our clock, as stamps
    uint64_t clock_was, clock_is;
    // own entries that are void
    size_t n_own;
    // of these, announced again
    size_t n_again;
    // in which own entries go on
    uint64_t epoch;
    // all void entries, own ones too
    struct void_report voided;
};
// Makes all entries of the future void, which an earlier version took in, or our own clock gave
// out. Own writes with such stamps that still hold are announced again first, with stamps of now
// and in a new epoch; their old places stay void (meta_place_void). Read marks of others go back
// before their first entry of the future, and our clock to our last good entry. Nobody may be
// ingesting meanwhile. `apply` false: says what it would do, and does nothing. ERR_AHEAD: a
// register's good value is about to lie in the past; try again in a second.
int meta_repair_clock(struct meta *m, bool apply, struct arena *a, struct clock_repair *out);
// Is this place in our own log void? 0 with the stretch that it lies in: after *out_after and
// before epoch *out_below. ERR_NOTFOUND: it is not.
int meta_place_void(struct meta *m, const struct feed_mark *mark, struct feed_mark *out_after,
                    uint64_t *out_below);

#endif
