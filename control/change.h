// SPDX-License-Identifier: Apache-2.0
// A change of registries and private endpoints as a value: what goes, and whole rows of what comes,
// each by names. It travels as a small YAML document, one version further than the one before it:
//
//   version: 43
//   incarnation: 43                 # of the registries that it creates: its version
//   # whole rows; one replaces what has its name
//   registries: [{ name: contoso, replicas: [{ region: eastus }] }]
//   remove: [fabrikam]
//   # whole rows; the label and the incarnation are those of what the change removes
//   reserve: [{ name: fabrikam, owner: ada, since: 2026-11-23T19:58:50Z, until: … }]
//   release: [northwind]
//   private_endpoints: […]            # whole rows; one replaces what has its name
//   remove_private_endpoints: [name]
//
// A change is made from what is in force, and written:
//
//   struct spec_registry row;
//   rc = change_registry_row(t, topology_registry(t, "contoso"), &arena, &row);
//   change_replica(&row, "eastus")->drained = true;
//   struct change c = {.registries = &row, .n_registries = 1};
//   rc = change_format(&c, &text);                // then control/source.h: topology_source_propose
//
// `time` says when it was made: reserved names are judged by it where nobody knows better
// (control/changer.h).
//
// Whether a change may be is for control/changer.h to say, which is the only judge. Strings and
// arrays belong to the arena, or to whoever made the change. Single-threaded.
#ifndef MERIDIAN_CONTROL_CHANGE_H
#define MERIDIAN_CONTROL_CHANGE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "config/options.h"
#include "config/registry_spec.h"
#include "config/topology.h"

#define CHANGE_MAX_BYTES (16u << 20) // of a document

struct change {
    // the document that it was read from, for lines; NULL: none
    const struct doc_node *node;
    // that it makes; 0: not numbered yet
    uint64_t version;
    // of the registries that it creates: the version, or 0 (none), as of changes made before there
    // were incarnations. control/changes_file.h fills it in. Those that are there keep theirs.
    uint64_t incarnation;
    // in UTC; NULL: not said
    const char *time;
    struct spec_registry *registries;
    const struct spec_reserved *reserve;
    const struct spec_private *private_endpoints;
    // names
    const char *const *remove, *const *remove_private_endpoints, *const *release;
    size_t n_registries, n_private_endpoints, n_remove, n_remove_private_endpoints;
    size_t n_reserve, n_release;
};

// Reads a document, whose first line is `first_line` of `source`. Words and lines only: whether a
// region is there, say, is not asked. ERR_INVAL: diag says what is wrong; ERR_TOOBIG, ERR_NOMEM.
int change_parse(const char *text, size_t n, const char *source, int first_line,
                 struct arena *arena, struct diag *diag, struct change *out);
// Appends the document to `out`. What change_parse reads from it is the same change. out->err.
int change_format(const struct change *c, struct buf *out);

// The row of a registry as it is in force, to be altered. Its arrays are the caller's to change
// (change_replica). ERR_NOMEM.
int change_registry_row(const struct topology *t, const struct registry *r, struct arena *arena,
                        struct spec_registry *out);
// The row of a replica in such a row, or NULL.
struct spec_replica *change_replica(struct spec_registry *row, const char *region);
// The row of a private endpoint of `registry`, likewise.
int change_private_row(const struct topology *t, const char *registry,
                       const struct private_endpoint *pe, struct arena *arena,
                       struct spec_private *out);

// ---- for control/changer.c: the document's words alone, without a value of its own for access and
// addresses ----

// As change_parse, in the context's arena; ctx->n_errors counts what is wrong with words. Returns
// an error when there is no document.
int change_read(struct option_ctx *ctx, const char *text, size_t n, int first_line,
                struct change *out);

#endif
