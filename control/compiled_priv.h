// SPDX-License-Identifier: Apache-2.0
// Shared by the files of the compiled form only: registries as they stand in it
// (compiled_record.c).
//
//   u8 n, label     u64 replicas    u16 flags (enum catalogue_flag; EXTRA and SETS say what
//                                   follows)
//   u8 stamps[]     by rank of the region
//   SETS:           u64 on, u64 drained
//   EXTRA:          u8 1 and TOPOLOGY_MAX_REGIONS weights, or u8 0; u16 n, networks (16 bytes, u8
//                   bits); u16 n, private endpoints: u8 n, name; u32 view; u16 n, members: u8 kind,
//                   u8 region, 16 bytes
//   MOVES:          (with EXTRA) u8 n, moves: u8 region, u8 stamp it was, u64 seconds
//   POLICY:         (with EXTRA) as config/policy.h writes it
//   STAGES:         (with EXTRA) u8 of all, u8 regional, u8 data, u64 private, u64 edge
//   OWNER:          (with EXTRA) u8 dnl_scope, u8 n, owner
//   INCARNATION:    u64
//   ENDPOINTS:      (with EXTRA; format 3) u8 of each private endpoint: its stage, and twice who
//                   answers there
#ifndef MERIDIAN_CONTROL_COMPILED_PRIV_H
#define MERIDIAN_CONTROL_COMPILED_PRIV_H

#include "base/bytes.h"
#include "config/catalogue.h"
#include "config/private_index.h"

void compiled_put(struct buf *b, uint64_t v, size_t n_bytes);
void compiled_put_registry(struct buf *b, const struct catalogue *c,
                           const struct catalogue_registry *r);
// Does a private endpoint of it say more than its addresses (format 3)?
bool compiled_has_endpoints(const struct catalogue *c, const struct catalogue_registry *r);
// Reads them, checks each as strictly as a document's, and finishes the topology. The cursor is
// behind them then.
int compiled_take_registries(enum topology_form form, struct cursor *c, struct topology *t,
                             const char *source, struct diag *diag);

// ---- judging (compiled_judge.c) ----

struct compiled_judge {
    // without registries yet
    const struct topology *t;
    const char *source;
    // what is judged, for messages; NULL: a damaged compiled topology
    const char *what;
    struct diag *diag;
    // of the registries before
    struct private_index *index;
    // of the registry in hand, for messages; 1 is the first
    uint64_t number;
    // the label before
    char before[HOSTNAME_LABEL_SIZE];
    bool nomem;
};

// ERR_CORRUPT: diag says what is wrong; ERR_NOMEM.
int compiled_judge_registry(struct compiled_judge *j, const struct registry *x);
// Reserved names, after the registries (from format 2 on): u64 n; by name each u8 n, label; u8 n, owner; u64
// since, u64 until, u64 incarnation. Only the name's length is needed besides: a label is the name,
// or the name and a hash.
void compiled_put_reserved(struct buf *b, const struct topology *t);
// To the end of the file. The topology has its registries.
int compiled_take_reserved(struct cursor *c, struct topology *t, const char *source,
                           struct diag *diag);

void compiled_judge_broken(struct compiled_judge *j); // says that it cannot be read at all

#endif
