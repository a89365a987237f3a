// SPDX-License-Identifier: Apache-2.0
// The compiled form of a topology. A node starts from it in a fraction of the time that the
// document takes, and keeps its last good version in it. It is the document's text without
// registries and private endpoints (short, and parsed as always), then the registries in binary,
// sorted by label. Numbers are big-endian.
//
//   "MERIDTC1"  magic and format; 2 when there are reserved names, stages or owners, 3 when some
//               private endpoint says that it is at the edge alone, or who answers there
//   u64         length of the whole file
//   32 bytes    SHA-256 of all that follows
//   u64, 32, 32 version; content hash; SHA-256 of the file it comes from
//   u64         that file's version: not below the text's, not above the first (that file may
//               itself be compiled with changes)
//   u32, …      pairs of cut lines (struct doc_lines); u64, … the text; u64, … the registries;
//               from format 2 on u64, … the reserved names
//
// The text has its own version, that of the last whole document. The serial of fe.D is made of it,
// so that nodes that applied the changes and nodes that start from this form have the same serial.
//
//   rc = compiled_format(t, &out);
//   rc = compiled_parse(TOPOLOGY_COMPACT, out.p, out.n, "topology.last", &diag, &t);
//
// A file that was changed, cut off or made by hand is refused with a sentence: the reader believes
// nothing in it, and checks everything as in a document. control/topology_file.h reads either form.
// Any thread.
#ifndef MERIDIAN_CONTROL_COMPILED_H
#define MERIDIAN_CONTROL_COMPILED_H

#include "config/topology.h"

struct buf;

struct compiled_info { // what stands in front
    uint64_t version, base_version;
    uint8_t content_hash[32], base_hash[32];
};

bool compiled_is(const void *p, size_t n); // by the magic
// ERR_UNSUPPORTED: the document's keys do not begin lines of their own, so that nothing can be cut
// out of it.
int compiled_format(const struct topology *t, struct buf *out);
int compiled_parse(enum topology_form form, const void *p, size_t n, const char *source,
                   struct diag *diag, struct topology **out);
// of the front; checks no digest
int compiled_info_parse(const void *p, size_t n, struct compiled_info *out);

#endif
