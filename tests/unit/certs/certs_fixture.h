// SPDX-License-Identifier: Apache-2.0
// What the tests of certs/ share: a temporary directory, a topology made by hand (the plan needs
// the domain and the regions only), a CA and an enrolled region. Included by each test program, so
// that it stays one file.
#ifndef MERIDIAN_TESTS_CERTS_FIXTURE_H
#define MERIDIAN_TESTS_CERTS_FIXTURE_H

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs_priv.h"
#include "certs/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char fixture_dir[64];
static struct region fixture_regions[2];
static struct topology fixture_topology;

static inline void fixture_setup(void)
{
    snprintf(fixture_dir, sizeof fixture_dir, "%s", "certs-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(fixture_dir));
    fixture_regions[0] = (struct region){.name = "eastus", .index = 0};
    fixture_regions[1] = (struct region){.name = "westeurope", .index = 1};
    fixture_topology = (struct topology){.domain = "meridian.test",
                                         .ca_region = "eastus",
                                         .regions = fixture_regions,
                                         .n_regions = 2};
    snapshot_head_init(&fixture_topology.head, NULL);
}

static inline void fixture_teardown(void)
{
    dir_remove_tree(fixture_dir);
}

static inline const char *fixture_path(const char *name)
{
    static char paths[64][256];
    static int next;
    char *p = paths[next++ % 64];
    snprintf(p, sizeof paths[0], "%s/%s", fixture_dir, name);
    return p;
}

static inline struct ca *fixture_ca(void)
{
    struct ca *ca = NULL;
    ck_assert_int_eq(ca_create(fixture_path("ca"), "meridian.test", NULL), 0);
    ck_assert_int_eq(ca_open(fixture_path("ca"), NULL, &ca), 0);
    return ca;
}

static inline bool fixture_says(const struct diag *d, const char *part)
{
    for (size_t i = 0; i < d->n; i++)
        if (strstr(d->lines[i], part))
            return true;
    return false;
}

#endif
