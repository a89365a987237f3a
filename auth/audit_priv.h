// SPDX-License-Identifier: Apache-2.0
// What the files of the audit log share, lowest first: audit_line.c (an event as a line of JSON),
// audit_file.c (the file, its rotation), audit.c (memory of what waits, the writer), audit_read.c
// (pages for the auditor). Nobody else includes this.
#ifndef MERIDIAN_AUTH_AUDIT_PRIV_H
#define MERIDIAN_AUTH_AUDIT_PRIV_H

#include "auth/audit.h"

#define AUDIT_PATH_MAX 1024
#define AUDIT_KEEP_MAX 1000

// How every line begins; the time follows.
#define AUDIT_LINE_BEGIN "{\"time\":\""
// the member by which a page finds a registry's lines
#define AUDIT_LINE_REGISTRY ",\"registry\":\""

// --- audit_line.c ---
// A line with its end; bytes in it. `n_lines` not 0: a member "n". Pure.
size_t audit_line_format(const struct audit_event *e, uint64_t n_lines, int64_t wall_ms,
                         const char *region, const char *stamp, char out[AUDIT_LINE_MAX]);
// The value as it stands between quotes, cut after AUDIT_VALUE_MAX bytes; returns its length.
size_t audit_line_value(const char *s, char *out, size_t cap);

// --- audit_file.c: of the writer's thread alone ---
struct audit_file {
    char path[AUDIT_PATH_MAX];
    uint64_t max_bytes;
    unsigned keep;
    // -1: not open
    int fd;
    // the file ends inside a line
    bool torn;
    // written since the last sync
    bool dirty;
};
void audit_file_init(struct audit_file *f, const char *path, uint64_t max_bytes, unsigned keep);
// Opens it when it is not open. 0, or why not.
int audit_file_open(struct audit_file *f);
// Appends whole lines, rotating first when they would not fit. *out_n is what is in the file of
// them, always whole lines, also when it fails: the caller gives the rest again.
int audit_file_append(struct audit_file *f, const char *lines, size_t n, size_t *out_n);
void audit_file_sync(struct audit_file *f);
void audit_file_close(struct audit_file *f);
// the name of the i-th older file; 0: the file
const char *audit_file_name(const char *path, unsigned i, char out[AUDIT_PATH_MAX + 16]);

// --- audit.c, for audit_read.c ---
unsigned audit_keep(const struct audit *a);

#endif
