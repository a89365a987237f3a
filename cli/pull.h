// SPDX-License-Identifier: Apache-2.0
// A pull taken apart: what was found on one way from a client to a region (struct pull_findings), and
// what that means, step by step (pull_judge). `meridian explain pull` finds (cli/pull_names.c,
// cli/pull_walk.c) and prints (cli/explain.c); judging knows no network.
//
//   struct pull_image image;
//   rc = pull_image_parse("contoso/app:1", domain, &arena, &image, &why);
//   struct pull_findings f = {.host = …};                 // filled as far as one got
//   struct pull_step steps[N_PULL_STEPS];
//   pull_judge(&f, &arena, steps);
//   const struct pull_step *first = pull_first_failure(steps);      // NULL: none failed
//
// Pure; any thread. Strings of findings are borrowed, NULL where nothing is known.
#ifndef MERIDIAN_CLI_PULL_H
#define MERIDIAN_CLI_PULL_H

#include "base/arena.h"
#include "config/hostname.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- what an image is called ----

struct pull_image {
    // as it was called: "contoso.example.io"; NULL: by the registry's name alone
    const char *host;
    // of a host under D: what kind of name it is, and its label; else the registry's name
    enum name_kind kind;
    const char *label;
    // of a regional name; else NULL
    const char *region;
    const char *repository;
    // a tag or a digest
    const char *reference;
    bool by_digest;
};

// [docker://]HOST[:PORT]/REPOSITORY[:TAG][@DIGEST], or REGISTRY/REPOSITORY…; the tag is "latest" when
// there is none, and a digest counts before a tag. ERR_INVAL: *out_why says what is wrong; ERR_NOMEM.
int pull_image_parse(const char *text, const char *domain, struct arena *arena,
                     struct pull_image *out, const char **out_why);

// ---- what was found ----

// By whom it is known what a token would hold.
enum pull_login {
    PULL_LOGIN_NONE,      // by nobody: neither a password nor a node to ask
    PULL_LOGIN_PASSWORD,  // a token was asked for, with the user's password
    PULL_LOGIN_ANONYMOUS, // a token was asked for, without a user
    PULL_LOGIN_JUDGED     // a node has judged by its principals
};

struct pull_findings {
    // names of the image: host that is called, the registry's name, where the way leads or shall
    // ("": nobody knows); user NULL: anonymous
    const char *host, *registry, *region, *repository, *reference, *user;
    // both are in the topology, and the registry has a replica in the region
    bool registry_known, region_known, replica_there;
    // the host is a regional name, which never means another region
    bool regional;
    // regional names are served
    bool regional_offered;
    // this way is the one that the name leads to for the client
    bool led;

    struct {
        // asked, and answered
        bool answered;
        // why not
        const char *why;
        const char *rcode;
        size_t n_addresses;
        // region of the address; NULL: of none. `private_endpoint`: it has it
        const char *leads_to, *private_endpoint;
        // no region is healthy
        bool fail_open;
        // the name is coming or going
        const char *stage;
    } dns;
    struct {
        // no node was asked: the name servers know by whom they were asked
        bool by_source;
        // asked for by name, and not there
        bool unknown;
        bool refused;
        const char *name;
    } view;
    struct {
        bool tried;
        // 0, ERR_CRYPTO: the certificate, else: no connection
        int err;
        const char *message, *address;
        // when the certificate of that kind ends there, as a node has heard; NULL: nobody said
        const char *until;
        // the region that answered; NULL: it does not say
        const char *answered_by;
    } tls;
    struct { // without a token
        int status;
        bool realm_good, service_good;
        // the refusal in words
        const char *words;
    } challenge;
    enum pull_login login;
    struct {
        bool got;
        // 0 no answer, 401, 429, 503 …
        int status;
        const char *words;
    } token;
    struct { // of PULL_LOGIN_JUDGED
        bool known, enabled;
        // of a token's passwords, how many count now
        size_t n_passwords;
    } judged;
    struct {
        bool known, pull;
    } scope;
    struct {
        bool tried;
        // why not
        const char *why;
        int status;
        const char *words, *digest;
        // a region that has it; NULL: none that was asked
        const char *elsewhere;
        // what the region says of it, where it lacks it
        bool gone, no_space, clock_ahead;
    } manifest;
    struct {
        bool tried;
        size_t n;
        uint64_t bytes;
        size_t n_missing, n_wrong;
        // beyond what is looked at
        size_t n_left_out;
        // the first that is missing or has another size, and in what words
        const char *first, *words;
        // manifests of the index that are not there
        size_t n_children_missing;
        // a region that has all; NULL: none that was asked
        const char *elsewhere;
    } blobs;
};

// ---- what that means ----

enum pull_step_kind {
    PULL_DNS,
    PULL_VIEW,
    PULL_TLS,
    PULL_TOKEN,
    PULL_SCOPE,
    PULL_MANIFEST,
    PULL_BLOBS,
    N_PULL_STEPS
};
enum pull_state { PULL_NOT_TRIED, PULL_OK, PULL_FAILED };

struct pull_step {
    enum pull_state state;
    // of a step that failed: a word for programs
    const char *code;
    // what was found, or why it failed, or why it was not tried; a clause
    const char *why;
    // of a step that failed: what mends it
    const char *cure;
    // of a step that failed: what the program ends with (cli/exit.h)
    int status;
};

extern const char *const pull_step_names[N_PULL_STEPS];
extern const char *const pull_state_names[]; // by enum pull_state: "NotTried", "OK", "Failed"

void pull_judge(const struct pull_findings *f, struct arena *arena,
                struct pull_step out[N_PULL_STEPS]);
// NULL: none failed. N_PULL_STEPS steps.
const struct pull_step *pull_first_failure(const struct pull_step *steps);
bool pull_all_ok(const struct pull_step *steps);

#endif
