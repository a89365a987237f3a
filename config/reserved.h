// SPDX-License-Identifier: Apache-2.0
// Reserved names: those of deleted registries, kept for their owners for a time (design section 2,
// lifecycle). A reserved name is no registry: DNS denies it and no edge serves it, under whatever
// label. Only its owner may create it again, until the time is up or the name is released.
//
//   const struct reserved_name *x = topology_reserved(t, "contoso");
//   if (x && reserved_name_refuses(x, "ada", now_s)) …409, until x->until_s…
//
// In a document they are the list `reserved`; in a change the lists `reserve` and `release`
// (control/change.h). Versions of the topology share the list and its entries as long as nobody
// changes them. They belong to the topology, not to its frame. Immutable; any thread.
#ifndef MERIDIAN_CONFIG_RESERVED_H
#define MERIDIAN_CONFIG_RESERVED_H

#include "base/bytes.h"
#include "config/topology.h"

#define RESERVED_NAMES_MAX 100000

struct reserved_name {
    // of the registry that was: its name, and the label that it had
    const char *name, *label;
    // "": not said
    const char *owner;
    // wall
    int64_t since_s, until_s;
    // of that registry; 0: it had none
    uint64_t incarnation;
};

// By a registry's name, which stands for all its labels. NULL: the name is not reserved. One whose
// time is up is given too.
const struct reserved_name *topology_reserved(const struct topology *t, const char *name);
size_t topology_reserved_count(const struct topology *t);
// in the order of names
const struct reserved_name *topology_reserved_at(const struct topology *t, size_t i);
// Must somebody else than `owner` wait?
bool reserved_name_refuses(const struct reserved_name *x, const char *owner, int64_t now_s);
// Appends the document's list, from its key on; nothing when there are none. out->err.
int reserved_names_format(const struct topology *t, struct buf *out);

bool registry_owner_ok(const char *s); // 1 to 128 letters, digits and -_.@:/+
// The label is the name, or the name, a hyphen and a hash.
bool registry_label_of(const char *label, const char *name);

// ---- for a topology that is being made (config/topology_make.h) ----

// Takes the place of the whole list; copies it. `list` is sorted by name, each once. ERR_NOMEM;
// ERR_TOOBIG: more than RESERVED_NAMES_MAX.
int topology_set_reserved(struct topology *t, const struct reserved_name *list, size_t n);
// The same list as `from` has, shared: what a new frame of the same topology keeps.
void topology_take_reserved(struct topology *t, const struct topology *from);
// What `drop` names goes, what `put` has comes in the place of what has its name. Both are sorted
// by name. Errors as above.
int topology_edit_reserved(struct topology *t, const struct reserved_name *put, size_t n_put,
                           const char *const *drop, size_t n_drop);
void reserved_names_unref(struct reserved_names *x); // NULL is fine
struct reserved_names *reserved_names_ref(struct reserved_names *x);

#endif
