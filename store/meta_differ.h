// SPDX-License-Identifier: Apache-2.0
// Anti-entropy, the store's part: what this region has of a subject (store/meta_shown.h), how that
// is judged beside what another region has, and how it is put right. Part of store/meta.h, whose
// opening lines hold here too.
//
//   rc = meta_differ_look(m, "contoso", "app", &subject, &arena, &look);  // what a region tells
//   rc = meta_differ_judge(m, "contoso", "app", &subject, &told, &arena, &j);
//   if (j.verdict == DIFFER_LACKS)        // …whose signatures are good
//       rc = meta_differ_take(m, j.lacks[i]);
//   if (j.verdict == DIFFER_WRONG_HERE)
//       rc = meta_differ_mend(m, "contoso", "app", &subject, &arena, &look, &changed);
//
// A region puts only itself right, and by nothing but signed entries that what it holds proves: what another region shows is a
// hint where to look. Two things are wrong for certain, however much is written meanwhile:
//
//   - an entry that another region holds is not in the log here, though the read mark of its origin
//     has passed it, and it would change the register: it was lost here, or kept from us;
//   - the register's row is not what the entries in the log make it. A row that lies above them is
//     named and left alone: the log lost what it rests on, and would undo a write.
//
// All else may be lag and is looked at another time (differ_rule). Of the other region it is said
// that it is wrong when it lacks an entry that its own applied mark has passed, or says that its row
// is not what its log makes it. It finds that itself when it compares.
//
// The entries of a subject are those that decide: of a manifest's presence the highest value, the
// highest tombstone and the highest one of a person; of a tag these and of its manifest the highest
// tombstone of a person; and the locks of both.
#ifndef MERIDIAN_STORE_META_DIFFER_H
#define MERIDIAN_STORE_META_DIFFER_H

#include "base/arena.h"
#include "store/meta_shown.h"

struct meta;

#define DIFFER_ENTRIES_MAX 8

struct differ_look {
    // of meta_shown.h; "": it is not shown
    const char *text;
    // the log has an entry of it that is not applied
    bool open;
    // its row is what the log makes it; true while `open`
    bool agrees;
    // those that decide, with their content when that is small
    const struct feed_entry *entries;
    size_t n;
};

// How far a region has applied an origin.
struct differ_place {
    const char *origin;
    struct feed_mark applied;
};

// What another region told of a subject.
struct differ_told {
    struct differ_look look;
    // read before `look` was
    const struct differ_place *places;
    size_t n_places;
    // What was deleted at or below it may be dropped there (floor_cleared of its meta_floor). 0: nothing is.
    uint64_t floor;
};

enum differ_verdict {
    DIFFER_SAME,
    // or what it depends on does, or an entry was refused here: look another time
    DIFFER_LAGS,
    DIFFER_LACKS,
    DIFFER_WRONG_HERE,
    DIFFER_WRONG_THERE,
};

// What is known of a subject in two regions.
struct differ_facts {
    // the texts are
    bool same;
    // of entries that decide there: one is not here though our mark has passed it, and would change
    // something; one lies behind our mark, is our own, void, or another stands in its place
    bool lacks_here, behind_here;
    bool open_here, agrees_here;
    // the same of the entries that decide here, by what the other region has applied
    bool lacks_there, behind_there;
    bool open_there, agrees_there;
    // it shows what was deleted before our floor, and its own floor is lower: its store is an older one
    bool revived_there;
};

struct differ_judgement {
    enum differ_verdict verdict;
    struct differ_facts facts;
    // what is shown here
    const char *text;
    // of told->look.entries, those that are lacking
    const struct feed_entry *lacks[DIFFER_ENTRIES_MAX];
    size_t n_lacks;
};

// Pure.
enum differ_verdict differ_rule(const struct differ_facts *f);
const char *differ_verdict_name(enum differ_verdict v); // "same", "lags", …

// How far this region has applied all origins, itself too.
int meta_differ_places(struct meta *m, struct arena *a, struct differ_place **out, size_t *out_n);
int meta_differ_look(struct meta *m, const char *registry, const char *repository,
                     const struct shown_subject *s, struct arena *a, struct differ_look *out);
// `told` must outlive *out.
int meta_differ_judge(struct meta *m, const char *registry, const char *repository,
                      const struct shown_subject *s, const struct differ_told *told,
                      struct arena *a, struct differ_judgement *out);
// Takes an entry that is lacking into the log and makes a job of it. The caller has verified its
// signature. The read mark does not move. 0 also when it is held. ERR_GAP: nothing that is held here
// proves it (store/meta_proven.h). ERR_AUTH: it is void here. ERR_CONFLICT: another entry stands in its place. ERR_AHEAD: it is of
// the future. ERR_INVAL: it is our own, or malformed.
int meta_differ_take(struct meta *m, const struct feed_entry *e);
// Makes the registers of a subject anew from the log, if they are still not what the log says; what
// has no content here is asked for by a job. *out: how it is then; *out_changed: something was made
// anew. ERR_NOTFOUND: something that must live has no content here yet; another time. ERR_CONFLICT:
// all that is wrong lies above whatever the log has of it: the log lost what it rests on.
int meta_differ_mend(struct meta *m, const char *registry, const char *repository,
                     const struct shown_subject *s, struct arena *a, struct differ_look *out,
                     bool *out_changed);

#endif
