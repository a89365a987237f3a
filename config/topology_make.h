// SPDX-License-Identifier: Apache-2.0
// How a topology is made of other things than one document: of the version before and a change
// (control/changer.h), or of the compiled form (control/compiled.h). Who only reads topologies
// needs none of this.
//
//   struct topology *next = topology_successor(t);    // shares the frame and all registries
//   rc = catalogue_put(next->catalogue, &registry);   // config/catalogue.h; and so on
//   rc = topology_edit_reserved(next, …);             // config/reserved.h
//   next->n_registries = catalogue_count(next->catalogue);
//   next->version = t->version + 1;                   // then next->content_hash, then publish
//
// A topology that is being made belongs to the caller alone: one thread, until it is published.
#ifndef MERIDIAN_CONFIG_TOPOLOGY_MAKE_H
#define MERIDIAN_CONFIG_TOPOLOGY_MAKE_H

#include "config/catalogue.h"
#include "config/document.h"
#include "config/topology.h"

// Pairs in topology_frame.cuts: registries, private endpoints and reserved names are cut out of a
// document.
#define TOPOLOGY_CUTS_MAX 16

// A version that shares frame and registries with `t`, and that the caller may change. NULL: out of
// memory.
struct topology *topology_successor(const struct topology *t);

// All but the registries, from a document that has none, and no reserved names (frame->text;
// `lines`: frame->cuts). ERR_CORRUPT: it has some. Otherwise the errors of topology_parse. The topology is without a
// catalogue until topology_finish.
int topology_parse_frame(const char *text, size_t n, const char *source,
                         const struct doc_lines *lines, struct diag *diag, struct topology **out);
// Gives it its `n` registries. ERR_NOMEM.
int topology_finish(struct topology *t, const struct catalogue_source *src, size_t n,
                    enum topology_form form);

#endif
