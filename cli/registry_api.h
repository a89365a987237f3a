// SPDX-License-Identifier: Apache-2.0
// What the nouns repository, tag, manifest and usage share: requests to one of a registry's regions,
// at its public endpoint with an ordinary token (docs/registry-api.md).
//
//   struct target at;
//   rc = target_parse(c, "tag list", TARGET_REPOSITORY, argv[1], &at);
//   struct registry_api api;
//   rc = api_open(c, at.registry, region, api_scope(c, &at, "pull"), &api); // NULL: any region
//   if (!rc)
//       rc = api_call(&api, &(struct api_request){.path = path}, &doc);
//   api_close(&api);
//
// Functions that return int give an exit status, after saying what is wrong. Single-threaded.
#ifndef MERIDIAN_CLI_REGISTRY_API_H
#define MERIDIAN_CLI_REGISTRY_API_H

#include "cli/target.h"

// ---- one region ----

struct registry_api {
    struct cli *c;
    const struct registry *registry;
    // that is asked
    const struct region *region;
    const char *host, *scope;
    // heap
    char *password, *bearer;
};

struct api_request {
    // NULL: GET
    const char *method;
    const char *path;
    // "If-Match: …", or NULL
    const char *header;
    // JSON, or NULL
    const char *body;
    // what it is about, for messages
    const char *about;
};

const char *api_scope(struct cli *c, const struct target *at, const char *actions);
#define API_SCOPE_CATALOG "registry:catalog:*"

// The region of that name, or (NULL) the first of the registry's that can be reached: each that
// cannot is told. The token is for `scope`.
int api_open(struct cli *c, const struct registry *r, const char *region, const char *scope,
             struct registry_api *out);
void api_close(struct registry_api *api);
// *out_doc: the answer (the caller's), NULL when it has no JSON. A refusal is told with the
// region's reason and the request's id, and of a conflict all that it names.
int api_call(struct registry_api *api, const struct api_request *q, json_t **out_doc);
// All pages of a list: the rows of `member`, in one array.
int api_pages(struct registry_api *api, const char *path, const char *about, const char *member,
              json_t **out_rows);
// {"registry", "region", [repository], member: rows}; takes `rows`.
json_t *api_document(const struct registry_api *api, const char *repository, const char *member,
                     json_t *rows);

// ---- what nouns share ----

// `tag delete`, `manifest delete`: of each word. `header` goes with the request; NULL: none.
int delete_run(struct cli *c, const char *command, enum target_form form, const char *region,
               const char *header, int argc, char **argv);
// `repository lock`, `tag lock`, `manifest lock`.
int lock_run(struct cli *c, const char *noun, enum target_form form, int argc, char **argv);

#endif
